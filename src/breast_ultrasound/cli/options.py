"""What the subcommands share: options, and the check of what they write."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.files import InputError

Correlation = Annotated[
    float, typer.Option(min=0.5, max=1, help="Of pixels at 28×28: from here, near-duplicates.")
]


def check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path]) -> None:
    """Refuse to write over what is read."""
    for output in outputs:
        if output is not None and output.exists() and any(map(output.samefile, inputs)):
            raise InputError(f"{output}: expected another file to write than the one to read")
