"""`breast-ultrasound explain`: what in an image speaks for malignant."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.cli.options import (
    Exclude,
    ImageColumn,
    Images,
    Model,
    open_model,
    say_left_out,
    say_model,
)
from breast_ultrasound.console import printable
from breast_ultrasound.files import InputError


def explain(
    images: Images,
    out: Annotated[Path, typer.Option(help="Written: a folder of one PNG per image.")],
    model: Model = None,
    image: ImageColumn = "image",
    exclude: Exclude = None,
) -> None:
    """Draw what in images speaks for malignant and what against, a second or so an image.

    Red: where the image is blurred there, the model's logit of malignant falls; blue: it rises.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder, got a file")
    folder, trained = open_model(model)

    from breast_ultrasound.data.streams import find_images
    from breast_ultrasound.evaluation.explanation import draw, maps_of
    from breast_ultrasound.model.classifier import predict

    stream = find_images(images, image, exclude or [])
    if any(file.parent.resolve() == out.resolve() for file in stream.files):
        raise InputError(f"{out}: expected another folder than one that images are read from")
    classifier = trained.classifier()
    warnings.filterwarnings("ignore", message="Glyph")  # of scripts that the font lacks
    for i, (name, grey) in enumerate(stream.read(trained.card.image_size)):
        probability = float(predict(classifier, grey[None], "cpu").probability[0])
        file = out / f"{i:04}_{_shortened(Path(name).stem, 200)}.png"
        words = f"{_shortened(printable(Path(name).name), 40)}: {probability:.2f}"
        draw(grey[None], maps_of(classifier, grey[None]), [words], file)
        typer.echo(printable(f"{file}: probability of malignant {probability:.2f}"))
    say_model(model, folder)
    say_left_out(stream.left_out)


def _shortened(text: str, n_bytes: int) -> str:
    """Return the beginning of a text: a file's name has at most 255 bytes."""
    return text.encode(errors="surrogateescape")[:n_bytes].decode(errors="ignore")
