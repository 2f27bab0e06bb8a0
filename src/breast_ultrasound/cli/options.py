"""What the subcommands share: options, and the check of what they write."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import printable
from breast_ultrasound.files import InputError

Correlation = Annotated[
    float, typer.Option(min=0.5, max=1, help="Of pixels at 28×28: from here, near-duplicates.")
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


def find_operating_point(points: Mapping[str, float], name: str) -> float:
    """Return a model's threshold; raises InputError where it has none of that name."""
    if name not in points:
        raise InputError(
            f"--operating-point: expected one of the model's, {', '.join(points)}, got {name!r}"
        )
    return points[name]


def check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path]) -> None:
    """Refuse to write over what is read."""
    for output in outputs:
        if output is not None and output.exists() and any(map(output.samefile, inputs)):
            raise InputError(f"{output}: expected another file to write than the one to read")
