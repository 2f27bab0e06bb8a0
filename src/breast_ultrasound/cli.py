"""The command `breast-ultrasound`: the project's tools for other people's files."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import guarded

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Tools around near-duplicate images in data sets with splits."""


@app.command()
@guarded
def audit(
    images: Annotated[
        Path, typer.Argument(help="MedMNIST-style npz, or a folder of a folder for each split.")
    ],
    splits: Annotated[
        str, typer.Option(help="Names of the splits, with commas; default: all there are.")
    ] = "",
    correlation: Annotated[
        float, typer.Option(min=0.5, max=1, help="Of pixels at 28×28: from here, near-twins.")
    ] = 0.95,
    fail_over: Annotated[
        int | None,
        typer.Option(min=0, help="Exit with 1 when more pairs than this cross the splits."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the summary.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row a pair.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a PNG of the pairs.")] = None,
) -> None:
    """Find near-duplicate images, above all those that cross the splits of a data set."""
    from breast_ultrasound.data.audit import pair_rows, read_audit_set, summarise
    from breast_ultrasound.data.twins import find_twins
    from breast_ultrasound.evaluation.figures import twin_pairs
    from breast_ultrasound.files import write_csv, write_json

    found = read_audit_set(images, list(dict.fromkeys(name for name in splits.split(",") if name)))
    twins = find_twins(found.images, correlation)
    summary = summarise(found, twins, correlation)
    if json is not None:
        write_json(json, summary)
    if csv is not None:
        write_csv(csv, *pair_rows(found, twins))
    if sheet is not None:
        twin_pairs(found.images, found.split, found.label, twins, sheet)
    for name, counts in summary["splits"].items():
        typer.echo(
            f"{name:12}{counts['images']:8} images{counts['leaking']:8} with a near-twin "
            "in another split"
        )
    crossing = summary["cross_split_pairs"]
    typer.echo(
        f"{summary['pairs']} pairs of near-twins in {summary['groups']} groups: {crossing} across "
        f"splits, {summary['conflicting_pairs']} with different labels"
    )
    if fail_over is not None and crossing > fail_over:
        typer.echo(f"leakage: {crossing} pairs cross the splits, over {fail_over}", err=True)
        raise typer.Exit(1)
