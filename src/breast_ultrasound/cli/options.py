"""What the subcommands share: options, and the check of what they write."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breast_ultrasound.console import printable
from breast_ultrasound.files import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from breast_ultrasound.model.artifact import TrainedModel

MODELS = Path("models/final"), Path("models/release")  # the project's own before the shipped one
DEV = Path("data/processed/dev.npz")

Correlation = Annotated[
    float, typer.Option(min=0.5, max=1, help="Of pixels at 28×28: from here, near-duplicates.")
]
Model = Annotated[
    Path | None,
    typer.Option(help="Folder of a trained model; default: models/final, else models/release."),
]
Dev = Annotated[
    Path,
    typer.Option(help="The dev images, where the model keeps no thumbnails of what it learned."),
]
Images = Annotated[
    list[str],
    typer.Argument(help="Pictures, folders, patterns as '*.png', tables (CSV, TSV), npz files."),
]
ImageColumn = Annotated[
    str,
    typer.Option(
        "--image", help="Of tables, the column of the path, or template: 'Images/{ID}.png'."
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="Pattern of paths to leave out, as '*_old/*'; may be given several times."),
]


def say_left_out(left_out: Mapping[str, int]) -> None:
    """Say on stderr in one line what of the folders was left out, if anything was."""
    words = ", ".join(f"{n} {kind}" for kind, n in left_out.items() if n)
    if words:
        typer.echo(f"not looked at: {printable(words)}", err=True)


def open_model(given: Path | None) -> "tuple[Path, TrainedModel]":
    """Return the model to ask and its folder; this process is limited to its arithmetic.

    Raises:
        InputError: there is none, or a part is missing or damaged.
    """
    from breast_ultrasound.model.arithmetic import limit_process
    from breast_ultrasound.model.artifact import load_model

    folder = _find_model(given)
    trained = load_model(folder)
    limit_process(trained.card.config.training.arithmetic, "cpu")
    return folder, trained


def _find_model(given: Path | None) -> Path:
    """Return the given folder, else that of the project's own model, else of the shipped one."""
    if given is not None:
        return given
    for folder in MODELS:
        if (folder / "model.json").is_file():
            return folder
    raise InputError(
        f"{MODELS[0]}: no such model, and none in {MODELS[1]}; run `make repro`, or give --model"
    )


def say_model(given: Path | None, folder: Path) -> None:
    """Say on stderr which model was asked, where none was given."""
    if given is None:
        typer.echo(f"model: {folder}", err=True)


def known_thumbnails(trained: "TrainedModel", dev: Path) -> "NDArray[np.uint8] | None":
    """Return thumbnails of the images that a model learned from, its own or those of `dev`.

    None, and a line on stderr, where it keeps none and there is no such file.

    Raises:
        InputError: the file is of other images.
    """
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.runs.run import digest_of

    if trained.known is not None:
        return trained.known
    if not dev.is_file():
        typer.echo(
            f"the model keeps no thumbnails and {dev} is not there: whether it learned from these "
            "images is not known",
            err=True,
        )
        return None
    images = ImageSet.load(dev)
    if trained.card.data != digest_of({"images": images.images, "malignant": images.malignant}):
        raise InputError(
            "--dev: expected the dev images of the model's pipeline, got others; give their file"
        )
    return images.thumbnails


def find_operating_point(points: Mapping[str, float], name: str) -> float:
    """Return a model's threshold; raises InputError where it has none of that name."""
    if name not in points:
        raise InputError(
            f"--operating-point: expected one of the model's, {', '.join(points)}, got {name!r}"
        )
    return points[name]


def check_suffix(output: Path, suffix: str) -> None:
    """Refuse a name that says the file is of another kind: one that is there would be lost."""
    if output.suffix.lower() != suffix:
        raise InputError(f"{output}: expected a name that ends with {suffix}")


def check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path]) -> None:
    """Refuse to write over what is read."""
    there = [path for path in inputs if path.exists()]
    for output in outputs:
        if output is not None and output.exists() and any(map(output.samefile, there)):
            raise InputError(f"{output}: expected another file to write than the one to read")
