"""`breast-ultrasound cache`: what the cache of finished trainings holds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from breast_ultrasound.console import Cache, guarded

if TYPE_CHECKING:
    from breast_ultrasound.runs.cache import Entry

app = typer.Typer(pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
@guarded
def show(context: typer.Context, cache: Cache = None) -> None:
    """Show what the cache of finished trainings holds."""
    from breast_ultrasound.runs.cache import find_cache

    context.obj = found = find_cache(cache)
    if context.invoked_subcommand is None:
        entries = list(found.entries())
        typer.echo(f"{found.folder}: {_sum(entries)}")
        stale = [entry for entry in entries if not entry.usable]
        typer.echo(f"of other code or package versions, or damaged: {_sum(stale)}")


@app.command()
@guarded
def prune(context: typer.Context) -> None:
    """Remove the trainings that this code and these package versions cannot use."""
    typer.echo(f"removed {_sum(context.obj.prune())}")


def _sum(entries: "Sequence[Entry]") -> str:
    megabytes = sum(entry.n_bytes for entry in entries) / 1e6
    return f"{len(entries)} trainings, {megabytes:.1f} MB"
