"""`breast-ultrasound export`: the trained model as an ONNX file."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from breast_ultrasound.cli.options import Model, check_outputs, check_suffix, open_model, say_model
from breast_ultrasound.files import InputError

N_PHANTOMS = 156  # images to hold the file against torch on, where there is no test set


def export(
    file: Annotated[Path, typer.Argument(help="Written: the ONNX file.")],
    model: Model = None,
    test: Annotated[
        Path, typer.Option(help="Images that ONNX and torch must agree on; phantoms if not there.")
    ] = Path("data/processed/test.npz"),
) -> None:
    """Write a trained model as one ONNX file, from grey levels to probability.

    Its input is `images`, uint8 [N, S, S]: grey, the centre square scaled to the model's size.
    """
    check_suffix(file, ".onnx")
    folder, trained = open_model(model)

    from breast_ultrasound.model.export import export_onnx

    check_outputs([file], [test])
    images, words = _images(test, trained.card.image_size)
    file.parent.mkdir(parents=True, exist_ok=True)  # before the work, where it cannot be made
    difference = export_onnx(trained, images, file)
    say_model(model, folder)
    typer.echo(f"{file}: torch's probabilities of {words} within {difference:.1e}")


def _images(test: Path, side: int) -> tuple[NDArray[np.uint8], str]:
    """Return the images to hold the file against torch on, and what they are."""
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.data.phantom import make_phantoms

    if not test.is_file():
        arrays = make_phantoms(N_PHANTOMS, seed=0, side=side)
        images = np.concatenate([a for name, a in arrays.items() if name.endswith("_images")])
        return images, f"{N_PHANTOMS} phantoms"
    found = ImageSet.load(test)
    if found.side != side:
        raise InputError(f"--test: expected images of {side} pixels, got {found.side}")
    return found.images, f"the {len(found)} images of {test}"
