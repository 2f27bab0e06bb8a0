"""Score the models on the test images. The only stage that does; it decides nothing."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Device, ParamsFile, command


def main(
    test: Annotated[Path, typer.Option(help="The test images.")],
    baseline: Annotated[Path, typer.Option(help="Folder of the baseline.")],
    final: Annotated[Path, typer.Option(help="Folder of the final model.")],
    retrained: Annotated[
        Path, typer.Option(help="Folder of the one that missed the near-duplicates.")
    ],
    control: Annotated[Path, typer.Option(help="Folder of one that missed as many others.")],
    dev: Annotated[Path, typer.Option(help="The dev images, for their near-duplicates.")],
    metrics: Annotated[Path, typer.Option(help="Written: every score with its interval.")],
    leakage: Annotated[Path, typer.Option(help="Written: what near-duplicates do to scores.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of curves and pictures.")],
    params: ParamsFile = Path("params.yaml"),
    device: Device = "auto",
) -> None:
    """Write scores with bootstrap intervals for all test images and for the leak-free ones."""
    from breast_ultrasound.data.dataset import ImageSet
    from breast_ultrasound.evaluation import figures, model_scores
    from breast_ultrasound.evaluation.curves import write_curves
    from breast_ultrasound.files import write_csv, write_json
    from breast_ultrasound.model.artifact import load_model
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import describe, find_hardware

    settings = load_params(params)
    images, known = ImageSet.load(test), ImageSet.load(dev)
    hardware = find_hardware(device)
    folders = {"baseline": baseline, "final": final, "retrained": retrained, "control": control}
    predictions = {
        name: model_scores.predict_with(load_model(folder), images.images, hardware)
        for name, folder in folders.items()
    }
    predictions["nearest_neighbour"] = model_scores.nearest_neighbour_predictions(images, known)
    scores, effects = model_scores.summarise(predictions, images, settings.evaluate, settings.seed)
    scored_on = {"scored_on": describe(hardware)}
    write_json(metrics, {**scores, **scored_on})
    write_json(leakage, {**effects, **scored_on})
    shown = {name: predictions[name] for name in model_scores.REPORTED}
    write_curves(shown, images.malignant, plots)
    write_csv(plots / "thresholds.csv", *model_scores.threshold_rows(shown, images, known))
    figures.results(scores, plots / "results.png")
    figures.leakage(effects, plots / "leakage.png")
    for name in shown:
        for part in (part for part in ("test", "leak_free") if part in scores[name]):
            row = scores[name][part]
            typer.echo(
                f"{name} {part}: AUC {row['auc']:.3f} [{row['auc_low']:.3f}, "
                f"{row['auc_high']:.3f}], accuracy {row['accuracy']:.3f}"
            )


app = command(main)
if __name__ == "__main__":
    app()
