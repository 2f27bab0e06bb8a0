"""Score the models on the test images. The only stage that does; it decides nothing."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Device, ParamsFile, command


def main(
    test: Annotated[Path, typer.Option(help="The test images.")],
    baseline: Annotated[Path, typer.Option(help="Folder of the baseline.")],
    final: Annotated[Path, typer.Option(help="Folder of the final model.")],
    metrics: Annotated[Path, typer.Option(help="Written: every score with its interval.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of curves and figures.")],
    params: ParamsFile = Path("params.yaml"),
    device: Device = "auto",
) -> None:
    """Write scores with bootstrap intervals for all test images and for the leak-free ones."""
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.evaluation import figures
    from breast_ultrasound.evaluation.curves import write_curves
    from breast_ultrasound.evaluation.model_scores import summarise
    from breast_ultrasound.files import write_json
    from breast_ultrasound.model.arithmetic import limit_process
    from breast_ultrasound.model.artifact import load_model
    from breast_ultrasound.model.classifier import predict
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import find_device

    settings, images = load_params(params), ImageSet.load(test)
    models = {"baseline": load_model(baseline), "final": load_model(final)}
    arithmetic = models["final"].card.config.training.arithmetic
    found = find_device(device, arithmetic)
    scored_on = limit_process(arithmetic, found)
    predictions = {
        name: predict(model.classifier().to(found), images.images, found)
        for name, model in models.items()
    }
    points = {name: model.card.operating_points for name, model in models.items()}
    scores = summarise(predictions, points, images, settings.evaluate, settings.seed)
    write_json(metrics, {**scores, "scored_on": scored_on})
    write_curves(predictions, images.malignant, plots)
    figures.results(scores, plots / "results.png")
    for name, row in ((name, scores[name]["test"]) for name in models):
        typer.echo(
            f"{name}: AUC {row['auc']:.3f} [{row['auc_low']:.3f}, {row['auc_high']:.3f}], "
            f"accuracy {row['accuracy']:.3f} on all of test"
        )


app = command(main)
if __name__ == "__main__":
    app()
