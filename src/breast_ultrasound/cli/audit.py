"""`breast-ultrasound audit`: near-duplicates in any image set with splits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from breast_ultrasound.cli.options import Correlation, Exclude, check_outputs, say_left_out
from breast_ultrasound.console import printable

Images = Annotated[
    Path, typer.Argument(help="MedMNIST-style npz, or a folder of a folder for each split.")
]
Splits = Annotated[
    str, typer.Option(help="Names of the splits, with commas; default: all there are.")
]
FailOver = Annotated[
    int | None,
    typer.Option(min=0, help="Exit with 1 when more pairs than this cross the splits."),
]
Json = Annotated[Path | None, typer.Option(help="Write the summary.")]
Csv = Annotated[Path | None, typer.Option(help="Write one row per pair.")]
Sheet = Annotated[Path | None, typer.Option(help="Write a PNG of the pairs.")]


def audit(
    images: Images,
    splits: Splits = "",
    correlation: Correlation = 0.95,
    exclude: Exclude = None,
    fail_over: FailOver = None,
    json: Json = None,
    csv: Csv = None,
    sheet: Sheet = None,
) -> None:
    """Find near-duplicate images, above all those that cross the splits of a data set."""
    from breast_ultrasound.data.audit import (
        PAIR_COLUMNS,
        pair_rows,
        read_audit_set,
        summarise,
    )
    from breast_ultrasound.data.near_duplicates import find_near_duplicates
    from breast_ultrasound.evaluation.figures import near_duplicate_pairs
    from breast_ultrasound.files import write_csv, write_json

    names = list(dict.fromkeys(name for name in splits.split(",") if name))
    found, left_out = read_audit_set(images, names, exclude or [])
    read = [images / name for name in found.name.tolist()] if images.is_dir() else [images]
    check_outputs([json, csv, sheet], read)
    duplicates = find_near_duplicates(found.thumbnails, correlation)
    summary = summarise(found, duplicates, correlation)
    if json is not None:
        write_json(json, summary)
    if csv is not None:
        write_csv(csv, PAIR_COLUMNS, pair_rows(found, duplicates))
    if sheet is not None:
        near_duplicate_pairs(found.images, found.split, found.label, duplicates, sheet)
    say_left_out(left_out)
    _show(summary)
    crossing = summary["cross_split_pairs"]
    if fail_over is not None and crossing > fail_over:
        typer.echo(f"leakage: {crossing} pairs cross the splits, over {fail_over}", err=True)
        raise typer.Exit(1)


def _show(summary: Mapping[str, Any]) -> None:
    for name, counts in summary["splits"].items():
        typer.echo(
            f"{printable(name):12}{counts['images']:8} images"
            f"{counts['leaking']:8} with a near-duplicate in another split"
        )
    typer.echo(
        f"{summary['pairs']} pairs of near-duplicates in {summary['groups']} groups: "
        f"{summary['cross_split_pairs']} across splits, "
        f"{summary['conflicting_pairs']} with different labels"
    )
