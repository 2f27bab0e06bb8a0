"""Score both models on the test images. The only stage that reads them; it decides nothing."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Device, ParamsFile, command


def main(
    test: Annotated[Path, typer.Option(help="The test images.")],
    baseline: Annotated[Path, typer.Option(help="Folder of the baseline.")],
    final: Annotated[Path, typer.Option(help="Folder of the final model.")],
    metrics: Annotated[Path, typer.Option(help="Written: every score with its interval.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of curves and pictures.")],
    params: ParamsFile = Path("params.yaml"),
    device: Device = "auto",
) -> None:
    """Write scores with bootstrap intervals for all test images and for the leak-free ones."""
    from breast_ultrasound.data.dataset import ImageSet
    from breast_ultrasound.evaluation.curves import write_curves
    from breast_ultrasound.evaluation.figures import results_figure
    from breast_ultrasound.evaluation.judgement import judge, summarise
    from breast_ultrasound.files import write_json
    from breast_ultrasound.model.artifact import load_model
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import find_hardware

    settings = load_params(params)
    images = ImageSet.load(test)
    hardware = find_hardware(device)
    judged = {
        name: judge(load_model(folder), images, hardware)
        for name, folder in (("baseline", baseline), ("final", final))
    }
    summary = summarise(judged, images, settings.evaluate, settings.seed)
    write_json(metrics, summary)
    write_curves(judged, images.malignant, plots)
    results_figure(summary, plots / "results.png")
    for name in judged:
        for part in ("test", "leak_free"):
            row = summary[name][part]
            typer.echo(
                f"{name} {part}: AUC {row['auc']:.3f} [{row['auc_low']:.3f}, "
                f"{row['auc_high']:.3f}], accuracy {row['accuracy']:.3f}"
            )


app = command(main)
if __name__ == "__main__":
    app()
