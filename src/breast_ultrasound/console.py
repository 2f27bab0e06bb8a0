"""Commands for people: Typer apps that answer bad input with one line and exit code 2."""

import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

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
        help="Folder of finished trainings and the downloaded file; default: the user's cache.",
    ),
]


class Command(TyperCommand):
    """A stage: wrong options end in one line, like other bad input."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run; in standalone mode exit the process."""
        return _in_one_line(super().main, *args, **options)


class Group(TyperGroup):
    """A command of several, likewise."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run; in standalone mode exit the process."""
        return _in_one_line(super().main, *args, **options)


def _in_one_line(
    run: Callable[..., Any], *args: Any, standalone_mode: bool = True, **options: Any
) -> Any:
    if not standalone_mode:
        return run(*args, standalone_mode=False, **options)
    try:
        exit_code = run(*args, standalone_mode=False, **options)
    except typer.TyperException as error:
        text = error.format_message()
        if text and "\n" not in text:  # else it is the help, asked for by giving nothing
            text = f"error: {text.rstrip('.')}; see --help"
        typer.echo(text, err=True)
        exit_code = error.exit_code
    sys.exit(exit_code)


def command(function: Callable[..., None]) -> typer.Typer:
    """Make an app of one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(cls=Command)(guarded(function))
    return app


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command answer people.

    Bad input, and files that cannot be read or written, end in one line on stderr and exit code 2;
    an interruption, or a polite request to end, in a line and exit code 130 or 143, even where a
    library swallows it. Anything else is a bug and shows its traceback.
    """

    @functools.wraps(function)
    def call(*args: object, **options: object) -> None:
        with _noted_signals() as received:
            try:
                function(*args, **options)
            except KeyboardInterrupt:
                received.append(signal.SIGINT)
            except Exception as error:
                if not received:
                    _explain(error)
        if received:
            typer.echo("interrupted: finished trainings are kept, run again to go on", err=True)
            raise typer.Exit(128 + received[0])

    return call


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM, and raise KeyboardInterrupt for both.

    Some libraries swallow it as they are imported, and left to itself SIGTERM would leave training
    processes behind. Only the main thread can handle signals.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = {kind: signal.signal(kind, note) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _explain(error: Exception) -> NoReturn:
    """Say in a line what is wrong with the input; raises what is a bug."""
    match error:
        case InputError():
            text = str(error)
        case OSError(filename=str() | bytes() | Path() as name):
            text = f"{name!s}: {error.strerror}; check that the place exists and is writable"
        case OSError():
            text = str(error)
        case _:
            raise error
    typer.echo(f"error: {printable(text)}", err=True)
    raise typer.Exit(2) from None


def printable(text: str) -> str:
    """Return a text as one line: a file's name may hold line breaks, and bytes that are no text."""
    return " ".join(text.split()).encode(errors="backslashreplace").decode()
