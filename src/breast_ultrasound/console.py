"""Commands for people: Typer apps that end bad input with one line and exit code 2."""

import functools
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from breast_ultrasound.files import InputError

# Exit code 1 is left to `audit --fail-over`, whose users must know leakage from all else.
BAD_INPUT, BUG, INTERRUPTED, NOBODY_READS = 2, 3, 130, 141

ParamsFile = Annotated[Path, typer.Option("--params", help="The parameters.")]
Workers = Annotated[
    int,
    typer.Option(
        envvar="BREAST_ULTRASOUND_WORKERS",
        min=0,
        help="Trainings at a time; 0: one per core. Changes no result.",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option(
        envvar="BREAST_ULTRASOUND_DEVICE",
        help="auto: a CUDA GPU if there is one, but the CPU for portable arithmetic.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        envvar="BREAST_ULTRASOUND_CACHE",
        help="Folder of finished trainings and the downloaded file; default: the user's cache.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        envvar="BREAST_ULTRASOUND_SCHEDULER",
        callback=lambda address: (address or "").strip() or None,
        help="Train on the workers of this Dask scheduler, such as tcp://127.0.0.1:8786.",
    ),
]

# Packages by the names that they are imported under, and the extra that has them: an installation
# of the core alone has none of them, or only those that Typer brings.
EXTRAS = {
    **dict.fromkeys(
        (
            "captum",
            "dvc",
            "joblib",
            "medmnist",
            "optuna",
            "platformdirs",
            "pydantic",
            "rich",
            "safetensors",
            "sklearn",
            "torch",
            "torchvision",
            "yaml",
        ),
        "pipeline",
    ),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "onnx"),
    **dict.fromkeys(("dask", "distributed"), "cluster"),
    **dict.fromkeys(("altair", "vl_convert"), "report"),
    "gradio": "serve",
    "pydicom": "dicom",
}


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
    for name in ("stdout", "stderr"):  # closed by who started this
        if getattr(sys, name) is None:
            setattr(sys, name, io.StringIO())
    streams = sys.stdout, sys.stderr
    for stream in streams:  # names of files may be in any script
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        exit_code = _exit_code(run, *args, **options)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):  # before the command itself took over
        exit_code = INTERRUPTED
    except (Exception, SystemExit) as error:
        # Typer makes SystemExit of it.
        if BrokenPipeError in (type(error), type(error.__context__)):
            _write_into_nothing(streams)
            exit_code = NOBODY_READS
        else:
            traceback.print_exc()
            exit_code = BUG
    sys.exit(exit_code)


def _exit_code(run: Callable[..., Any], *args: Any, **options: Any) -> Any:
    try:
        return run(*args, standalone_mode=False, **options)
    except typer.TyperException as error:
        text = error.format_message()
        if text and "\n" not in text:  # else it is the help, asked for by giving nothing
            text = f"error: {text.rstrip('.')}; see --help"
        typer.echo(text, err=True)
        return BAD_INPUT


def _write_into_nothing(streams: Iterable[TextIO]) -> None:
    """Lead the streams nowhere; Python flushes them once more as it ends, and would complain."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nothing, stream.fileno())


def command(function: Callable[..., None]) -> typer.Typer:
    """Make an app of one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    kept = "finished trainings are kept, run again to go on"
    app.command(cls=Command)(guarded(function, kept))
    return app


def guarded(function: Callable[..., None], kept: str = "") -> Callable[..., None]:
    """Make a command speak to people.

    Bad input, files that cannot be read or written, and packages of the extra `pipeline` that are
    not installed end in one line on stderr and exit code 2; an interruption, or a polite request
    to end, in a line and exit code 130 or 143, even where a library swallows it. Anything else is
    a bug, which shows its traceback and ends in exit code 3.

    Args:
        kept: what an interruption leaves, in words.
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
            typer.echo(f"interrupted: {kept}" if kept else "interrupted", err=True)
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
        case BrokenPipeError():
            raise error
        case OSError(filename=str() | bytes() | Path() as name):
            text = f"{name!s}: {error.strerror}; check that the place exists and is writable"
        case OSError():
            text = str(error)
        case ModuleNotFoundError(name=str() as name) if extra := EXTRAS.get(name.split(".")[0]):
            text = f"{name}: no such package; run pip install '.[{extra}]' in the project's folder"
        case _:
            raise error
    typer.echo(f"error: {printable(text)}", err=True)
    raise typer.Exit(BAD_INPUT) from None


def printable(text: str) -> str:
    """Return a text as one line: a file's name may hold line breaks, and bytes that are no text."""
    return " ".join(text.split()).encode(errors="backslashreplace").decode()
