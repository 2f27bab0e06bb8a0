"""`breast-ultrasound predict`: ask the trained model."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from breast_ultrasound.cli.options import (
    DEV,
    Dev,
    Exclude,
    ImageColumn,
    Images,
    Model,
    find_operating_point,
    known_thumbnails,
    open_model,
    say_left_out,
    say_model,
)
from breast_ultrasound.console import BAD_INPUT, printable
from breast_ultrasound.files import InputError, rounded

if TYPE_CHECKING:
    from breast_ultrasound.evaluation.prediction import Image, Prediction

OperatingPoint = Annotated[
    str, typer.Option(help="From which probability on malignant is predicted; see the card.")
]
Format = Literal["text", "csv", "json", "jsonl"]
LONG = 1_000  # images, from which a bar shows how far it got


def predict(
    images: Images,
    model: Model = None,
    dev: Dev = DEV,
    operating_point: OperatingPoint = "half",
    image: ImageColumn = "image",
    exclude: Exclude = None,
    form: Annotated[Format, typer.Option("--format", help="How to print predictions.")] = "text",
) -> None:
    """Ask a trained model about images. For research: it is not a medical device.

    Predictions go to stdout as they are made, whatever else is to say to stderr. An image that
    cannot be read is named there, the others are predicted, and the exit code is 2.
    """
    folder, trained = open_model(model)
    threshold = find_operating_point(trained.card.operating_points, operating_point)

    from breast_ultrasound.data.streams import find_images
    from breast_ultrasound.evaluation.prediction import predict_images

    known = known_thumbnails(trained, dev)
    stream = find_images(images, image, exclude or [])
    refused: list[InputError] = []
    read = _with_bar(stream.read(trained.card.image_size, refused.append), stream.n_images)
    for text in _printed(predict_images(read, trained, known, threshold), form):
        sys.stdout.write(text)
    if len(refused) == stream.n_images == 1:
        raise refused[0]
    say_model(model, folder)
    say_left_out(stream.left_out)
    for error in refused:
        typer.echo(f"error: {printable(str(error))}", err=True)
    if refused:
        raise typer.Exit(BAD_INPUT)


def _with_bar(images: Iterable["Image"], n_images: int) -> Iterable["Image"]:
    """Show on a terminal how far many images got."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if n_images < LONG or not console.is_terminal:
        return images
    return track(images, "images", total=n_images, console=console)


def _printed(predictions: Iterable["Prediction"], form: Format) -> Iterator[str]:
    """Return the text of each prediction, what stands before the first, and after the last."""
    match form:
        case "text":
            for i, one in enumerate(predictions):
                yield ("" if i else _line("malignant", "networks", "predicted", "image")) + _line(
                    f"{one.probability:.2f}",
                    f"{one.lowest:.2f} to {one.highest:.2f}",
                    "malignant" if one.malignant else "not malignant",
                    f"{one.image}{_note(one)}",
                )
        case "csv":
            writer = csv.writer(_Echo(), lineterminator="\n")
            for i, one in enumerate(predictions):
                row = one.row()
                yield ("" if i else writer.writerow(row)) + writer.writerow(
                    rounded(["" if cell is None else cell for cell in row.values()])
                )
        case "jsonl":
            for one in predictions:
                yield _json(one) + "\n"
        case "json":
            i = -1
            for i, one in enumerate(predictions):
                yield ("," if i else "[") + "\n" + _json(one)
            yield "\n]\n" if i >= 0 else "[]\n"


def _note(one: "Prediction") -> str:
    if one.near_duplicate is not None:
        return f" (near-duplicate of dev image {one.near_duplicate})"
    return " (WARNING: unlike all that was learned)" if one.unlike else ""


def _line(probability: str, networks: str, predicted: str, image: str) -> str:
    return f"{probability:>9}  {networks:14}{predicted:15}{printable(image)}\n"


def _json(prediction: "Prediction") -> str:
    # A file's name may hold bytes that are no text, and JSON has no words for them.
    row = {**prediction.row(), "image": printable(prediction.image)}
    return json.dumps(rounded(row), ensure_ascii=False)


class _Echo:
    """Gives back what is written, so that csv's rows can be had as text."""

    def write(self, text: str) -> str:
        return text
