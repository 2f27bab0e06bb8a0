"""The command `breast-ultrasound`: the trained model, and tools for other people's files."""

from importlib import metadata
from typing import Annotated

import typer

from breast_ultrasound.cli import cache
from breast_ultrasound.cli.audit import audit
from breast_ultrasound.cli.evaluate import evaluate
from breast_ultrasound.cli.explain import explain
from breast_ultrasound.cli.export import export
from breast_ultrasound.cli.predict import predict
from breast_ultrasound.cli.report import report
from breast_ultrasound.cli.resplit import resplit
from breast_ultrasound.cli.serve import serve
from breast_ultrasound.cli.trials import trials
from breast_ultrasound.console import Group, guarded

app = typer.Typer(
    cls=Group, add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"breast-ultrasound {metadata.version('breast-ultrasound')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show it and exit."),
    ] = False,
) -> None:
    """The trained model, near-duplicate images in data sets, the searches and the cache."""


for command in (predict, explain, evaluate, export, report, serve, audit, resplit, trials):
    app.command()(guarded(command))
app.add_typer(cache.app, name="cache")
