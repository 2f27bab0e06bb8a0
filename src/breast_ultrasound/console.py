"""Commands for people: Typer apps that answer bad input with one line and exit code 2."""

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    an interruption, or a polite request to end, in a line and exit code 130 or 143. Anything else
    is a bug and shows its traceback.
    """

    @functools.wraps(function)
    def call(*args: object, **options: object) -> None:
        exit_code = 128 + signal.SIGINT

        def end(*_: object) -> None:
            nonlocal exit_code
            exit_code = 128 + signal.SIGTERM
            raise KeyboardInterrupt

        try:
            with _on_sigterm(end):
                function(*args, **options)
        except (InputError, OSError) as error:
            typer.echo(f"error: {_one_line(error)}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("interrupted: finished trainings are kept, run again to go on", err=True)
            raise typer.Exit(exit_code) from None

    return call


@contextmanager
def _on_sigterm(handler: Callable[..., None]) -> Iterator[None]:
    """Handle SIGTERM, which would leave training processes behind; only main threads can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check that the place exists and is writable"
    return " ".join(str(error).split())
