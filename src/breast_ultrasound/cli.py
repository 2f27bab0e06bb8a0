"""The command `breast-ultrasound`: the trained model, and tools for other people's files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breast_ultrasound.console import Cache, Group, guarded, printable
from breast_ultrasound.files import InputError

if TYPE_CHECKING:
    from breast_ultrasound.runs.store import Entry

app = typer.Typer(
    cls=Group, add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True
)


@app.callback()
def main() -> None:
    """The trained model, near-duplicate images in data sets with splits, and the store."""


store_app = typer.Typer(pretty_exceptions_enable=False)
app.add_typer(store_app, name="store")


@store_app.callback(invoke_without_command=True)
@guarded
def store(context: typer.Context, cache: Cache = None) -> None:
    """Show what the store of finished trainings holds."""
    from breast_ultrasound.runs.execute import find_store

    context.obj = found = find_store(cache)
    if context.invoked_subcommand is None:
        entries = list(found.entries())
        typer.echo(f"{found.folder}: {_sum(entries)}")
        stale = [entry for entry in entries if not entry.usable]
        typer.echo(f"of other code or package versions, or damaged: {_sum(stale)}")


@store_app.command()
@guarded
def prune(context: typer.Context) -> None:
    """Remove the trainings that this code and these package versions cannot use."""
    typer.echo(f"removed {_sum(context.obj.prune())}")


def _sum(entries: "Sequence[Entry]") -> str:
    megabytes = sum(entry.n_bytes for entry in entries) / 1e6
    return f"{len(entries)} trainings, {megabytes:.1f} MB"


Correlation = Annotated[
    float, typer.Option(min=0.5, max=1, help="Of pixels at 28×28: from here, near-twins.")
]


@app.command()
@guarded
def predict(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    model: Annotated[Path, typer.Option(help="Folder of a trained model.")] = Path("models/final"),
    dev: Annotated[
        Path, typer.Option(help="The dev images: tells which pictures are near-twins of one.")
    ] = Path("data/processed/dev.npz"),
    correlation: Correlation = 0.95,
    csv: Annotated[Path | None, typer.Option(help="Write a row a picture.")] = None,
) -> None:
    """Ask a trained model about pictures. For research: it is not a medical device."""
    from breast_ultrasound.data.dataset import ImageSet
    from breast_ultrasound.data.pictures import read_pictures
    from breast_ultrasound.evaluation.answers import COLUMNS, answer
    from breast_ultrasound.files import write_csv
    from breast_ultrasound.model.artifact import load_model
    from breast_ultrasound.runs.execute import find_hardware

    known, trained = ImageSet.load(dev), load_model(model)
    files, images = read_pictures(pictures)
    _check_outputs([csv], [dev, *files])
    answers = answer(images, trained, known, correlation, find_hardware("cpu"))
    if csv is not None:
        rows = [said.row(file) for file, said in zip(files, answers, strict=True)]
        write_csv(csv, COLUMNS, rows)
    for file, said in zip(files, answers, strict=True):
        typer.echo(printable(f"{file}: {said}"))


@app.command()
@guarded
def audit(
    images: Annotated[
        Path, typer.Argument(help="MedMNIST-style npz, or a folder of a folder for each split.")
    ],
    splits: Annotated[
        str, typer.Option(help="Names of the splits, with commas; default: all there are.")
    ] = "",
    correlation: Correlation = 0.95,
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
    read = [images / name for name in found.name.tolist()] if images.is_dir() else [images]
    _check_outputs([json, csv, sheet], read)
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
            f"{printable(name):12}{counts['images']:8} images"
            f"{counts['leaking']:8} with a near-twin in another split"
        )
    crossing = summary["cross_split_pairs"]
    typer.echo(
        f"{summary['pairs']} pairs of near-twins in {summary['groups']} groups: {crossing} across "
        f"splits, {summary['conflicting_pairs']} with different labels"
    )
    if fail_over is not None and crossing > fail_over:
        typer.echo(f"leakage: {crossing} pairs cross the splits, over {fail_over}", err=True)
        raise typer.Exit(1)


@app.command()
@guarded
def resplit(
    images: Annotated[Path, typer.Argument(help="MedMNIST-style npz.")],
    output: Annotated[Path, typer.Argument(help="Written: the same, without leakage.")],
    correlation: Correlation = 0.95,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Decides who goes where.")] = 0,
    without_conflicts: Annotated[
        bool, typer.Option(help="Leave out groups of near-twins with different labels.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write a row an image: where it went.")] = None,
) -> None:
    """Deal the images out anew: the same sizes and classes, near-twins always in one split."""
    import hashlib

    from breast_ultrasound.data.audit import (
        conflict_lines,
        deal_arrays,
        deal_out,
        image_rows,
        read_audit_set,
        split_lines,
    )
    from breast_ultrasound.data.twins import find_twins
    from breast_ultrasound.files import write_arrays, write_csv

    if images.is_dir():
        raise InputError(f"{images}: expected an npz file; of a folder, `audit --csv` names pairs")
    _check_outputs([output, csv], [images])
    found = read_audit_set(images, [])
    twins = find_twins(found.images, correlation)
    split = deal_out(found, twins, seed, without_conflicts)
    write_arrays(output, deal_arrays(images, found, split))
    if csv is not None:
        write_csv(csv, *image_rows(found, twins, split))
    for line in split_lines(found, split):
        typer.echo(line)
    for line in conflict_lines(found, twins, split):
        typer.echo(printable(line))
    first, second = found.split[twins.pairs.T]
    typer.echo(
        f"{len(twins.pairs)} pairs of near-twins: {(first != second).sum()} crossed the splits, "
        "none does now"
    )
    typer.echo(f"sha256 {hashlib.sha256(output.read_bytes()).hexdigest()}  {output}")


def _check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path]) -> None:
    """Refuse to write over what is read."""
    for output in outputs:
        if output is not None and output.exists() and any(map(output.samefile, inputs)):
            raise InputError(f"{output}: expected another file to write than the one to read")
