"""`breast-ultrasound predict`: ask the trained model."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.cli.options import (
    Exclude,
    check_outputs,
    find_operating_point,
    say_left_out,
)
from breast_ultrasound.console import printable


def predict(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    model: Annotated[Path, typer.Option(help="Folder of a trained model.")] = Path("models/final"),
    dev: Annotated[
        Path, typer.Option(help="The dev images: tells which pictures are near-duplicates of one.")
    ] = Path("data/processed/dev.npz"),
    operating_point: Annotated[
        str, typer.Option(help="From which probability on malignant is predicted; see the card.")
    ] = "half",
    exclude: Exclude = None,
    csv: Annotated[Path | None, typer.Option(help="Write one row per picture.")] = None,
) -> None:
    """Ask a trained model about pictures. For research: it is not a medical device."""
    from breast_ultrasound.model.arithmetic import limit_process
    from breast_ultrasound.model.artifact import load_model

    trained = load_model(model)
    threshold = find_operating_point(trained.card.operating_points, operating_point)
    limit_process(trained.card.config.training.arithmetic, "cpu")

    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.data.pictures import read_pictures
    from breast_ultrasound.evaluation.prediction import COLUMNS, predict_images
    from breast_ultrasound.files import write_csv

    known = ImageSet.load(dev)
    files, images, left_out = read_pictures(pictures, trained.card.image_size, exclude or [])
    check_outputs([csv], [dev, *files])
    predictions = predict_images(images, trained, known, threshold)
    if csv is not None:
        rows = [one.row(file) for file, one in zip(files, predictions, strict=True)]
        write_csv(csv, COLUMNS, rows)
    say_left_out(left_out)
    for file, prediction in zip(files, predictions, strict=True):
        typer.echo(printable(f"{file}: {prediction}"))
