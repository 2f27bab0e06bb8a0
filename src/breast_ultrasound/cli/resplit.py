"""`breast-ultrasound resplit`: the same images on splits without leakage."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.cli.options import Correlation, check_outputs
from breast_ultrasound.console import printable
from breast_ultrasound.files import InputError


def resplit(
    images: Annotated[Path, typer.Argument(help="MedMNIST-style npz.")],
    output: Annotated[Path, typer.Argument(help="Written: the same, without leakage.")],
    correlation: Correlation = 0.95,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the random assignment.")] = 0,
    without_conflicts: Annotated[
        bool, typer.Option(help="Leave out groups of near-duplicates with different labels.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write one row per image: its split.")] = None,
) -> None:
    """Assign the images anew: the same sizes and classes, near-duplicates always in one split."""
    import hashlib

    from breast_ultrasound.data.audit import (
        assign_splits,
        conflict_lines,
        image_rows,
        read_audit_set,
        split_arrays,
        split_lines,
    )
    from breast_ultrasound.data.near_duplicates import find_near_duplicates
    from breast_ultrasound.files import write_arrays, write_csv

    if images.is_dir():
        raise InputError(f"{images}: expected an npz file; of a folder, `audit --csv` names pairs")
    check_outputs([output, csv], [images])
    found, _ = read_audit_set(images, [])
    duplicates = find_near_duplicates(found.thumbnails, correlation)
    split = assign_splits(found, duplicates, seed, without_conflicts)
    write_arrays(output, split_arrays(images, found, split))
    if csv is not None:
        write_csv(csv, *image_rows(found, duplicates, split))
    conflicts = map(printable, conflict_lines(found, duplicates, split))
    typer.echo("\n".join([*split_lines(found, split), *conflicts]))
    first, second = found.split[duplicates.pairs.T]
    crossed = f"{len(first)} pairs of near-duplicates: {(first != second).sum()} crossed the splits"
    typer.echo(f"{crossed}, none does now")
    typer.echo(f"sha256 {hashlib.sha256(output.read_bytes()).hexdigest()}  {output}")
