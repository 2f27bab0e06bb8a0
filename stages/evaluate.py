"""Score the models on the test images. The only stage that does; it decides nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breast_ultrasound.console import Device, ParamsFile, command

if TYPE_CHECKING:
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.model.artifact import TrainedModel
    from breast_ultrasound.model.classifier import Predictions


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
    from breast_ultrasound.runs.device import find_device

    settings, images = load_params(params), ImageSet.load(test)
    models = {"baseline": load_model(baseline), "final": load_model(final)}
    arithmetic = models["final"].card.config.training.arithmetic
    found = find_device(device, arithmetic)
    scored_on = limit_process(arithmetic, found)
    predictions = {
        n: predict(m.classifier().to(found), images.images, found) for n, m in models.items()
    }
    points = {name: model.card.operating_points for name, model in models.items()}
    scores = summarise(predictions, points, images, settings.evaluate, settings.seed)
    write_json(metrics, {**scores, "scored_on": scored_on})
    write_curves(predictions, images.malignant, plots)
    figures.results(scores, plots / "results.png")
    kind, shown = settings.data.name, settings.data.show_images
    _draw_maps(models["final"], images, predictions["final"], shown or kind != "images", plots)
    for name in models:
        row = scores[name]["test"]
        ends = f"[{row['auc_low']:.3f}, {row['auc_high']:.3f}]"
        typer.echo(f"{name}: AUC {row['auc']:.3f} {ends}, accuracy {row['accuracy']:.3f}, of test")


def _draw_maps(
    model: "TrainedModel", images: "ImageSet", predictions: "Predictions", shown: bool, plots: Path
) -> None:
    """Draw what the model is surest of; own images may be private, and are not shown unasked."""
    from breast_ultrasound.evaluation.explanation import draw_most_confident
    from breast_ultrasound.evaluation.figures import not_shown

    path = plots / "maps.png"
    if shown:
        draw_most_confident(model.classifier(), images, predictions.probability, path)
    else:
        not_shown("data.show_images is false", path)


app = command(main)
if __name__ == "__main__":
    app()
