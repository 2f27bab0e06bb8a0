"""`breast-ultrasound predict`: ask the trained model."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.cli.options import Correlation, check_outputs
from breast_ultrasound.console import printable


def predict(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    model: Annotated[Path, typer.Option(help="Folder of a trained model.")] = Path("models/final"),
    dev: Annotated[
        Path, typer.Option(help="The dev images: tells which pictures are near-duplicates of one.")
    ] = Path("data/processed/dev.npz"),
    correlation: Correlation = 0.95,
    csv: Annotated[Path | None, typer.Option(help="Write a row a picture.")] = None,
) -> None:
    """Ask a trained model about pictures. For research: it is not a medical device."""
    from breast_ultrasound.data.dataset import ImageSet
    from breast_ultrasound.data.pictures import read_pictures
    from breast_ultrasound.evaluation.prediction import COLUMNS, predict_images
    from breast_ultrasound.files import write_csv
    from breast_ultrasound.model.artifact import load_model
    from breast_ultrasound.runs.execute import find_hardware

    known, trained = ImageSet.load(dev), load_model(model)
    files, images = read_pictures(pictures)
    check_outputs([csv], [dev, *files])
    predictions = predict_images(images, trained, known, correlation, find_hardware("cpu"))
    if csv is not None:
        rows = [one.row(file) for file, one in zip(files, predictions, strict=True)]
        write_csv(csv, COLUMNS, rows)
    for file, prediction in zip(files, predictions, strict=True):
        typer.echo(printable(f"{file}: {prediction}"))
