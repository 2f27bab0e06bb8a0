"""Commands for people: Typer apps that answer bad input with one line and exit code 2."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from breast_ultrasound.files import InputError

ParamsFile = Annotated[Path, typer.Option("--params", help="The parameters.")]
Workers = Annotated[
    int,
    typer.Option(
        envvar="BREAST_ULTRASOUND_WORKERS",
        min=0,
        help="Trainings at a time; 0: one a core. Changes no result.",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option(envvar="BREAST_ULTRASOUND_DEVICE", help="auto: a CUDA GPU if there is one."),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        envvar="BREAST_ULTRASOUND_CACHE",
        help="Folder of finished trainings; default: the user's cache folder.",
    ),
]


def command(function: Callable[..., None]) -> typer.Typer:
    """Make an app of one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(guarded(function))
    return app


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command answer people.

    Bad input, and files that cannot be read or written, end in one line on stderr and exit code 2;
    an interruption in a line and exit code 130. Anything else is a bug and shows its traceback.
    """

    @functools.wraps(function)
    def call(*args: object, **options: object) -> None:
        try:
            function(*args, **options)
        except (InputError, OSError) as error:
            typer.echo(f"error: {_one_line(error)}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("interrupted: finished trainings are kept, run again to go on", err=True)
            raise typer.Exit(130) from None

    return call


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check that the place exists and is writable"
    return " ".join(str(error).split())
