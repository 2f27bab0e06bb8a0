"""`breast-ultrasound explain`: what in an image speaks for malignant."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.cli.options import (
    Exclude,
    ImageColumn,
    Images,
    Model,
    check_outputs,
    open_model,
    say_left_out,
    say_model,
)
from breast_ultrasound.console import printable


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
    folder, trained = open_model(model)

    from breast_ultrasound.data.streams import find_images
    from breast_ultrasound.evaluation.explanation import draw, maps_of
    from breast_ultrasound.model.classifier import predict

    stream = find_images(images, image, exclude or [])
    classifier = trained.classifier()
    for i, (name, grey) in enumerate(stream.read(trained.card.image_size)):
        probability = float(predict(classifier, grey[None], "cpu").probability[0])
        file = out / f"{i:04}_{Path(name).stem}.png"
        check_outputs([file], stream.files)
        words = f"{Path(name).name}: {probability:.2f}"
        draw(grey[None], maps_of(classifier, grey[None]), [printable(words)], file)
        typer.echo(printable(f"{file}: probability of malignant {probability:.2f}"))
    say_model(model, folder)
    say_left_out(stream.left_out)
