import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import typer
from typer.testing import CliRunner

from breast_ultrasound.console import command
from tools.workspace import ROOT


def _wait_for(sent: signal.Signals) -> None:
    os.kill(os.getpid(), sent)
    time.sleep(60)


SENT = pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@SENT
@pytest.mark.parametrize("then", ["end", "go on", "fail"])
def test_a_signal_ends_in_one_line(sent: signal.Signals, exit_code: int, then: str) -> None:
    """Libraries may swallow it while they are imported, and be half there afterwards."""

    def work() -> None:
        """Be told to end."""
        with suppress(*([KeyboardInterrupt] if then != "end" else [])):
            _wait_for(sent)
        if then == "fail":
            raise ImportError("half there")

    before = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    result = CliRunner().invoke(command(work), [])
    assert result.exit_code == exit_code
    assert result.stderr == "interrupted: finished trainings are kept, run again to go on\n"
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_bug_shows_its_traceback_and_is_no_leakage_and_an_exit_has_its_code() -> None:
    def fail() -> None:
        """Fail."""
        raise ZeroDivisionError

    def leave() -> None:
        """Leave."""
        raise typer.Exit(1)

    result = CliRunner().invoke(command(fail), [])
    assert result.exit_code == 3
    assert result.stderr.startswith("Traceback")
    assert result.stderr.endswith("ZeroDivisionError\n")
    assert CliRunner().invoke(command(leave), []).exit_code == 1


@pytest.mark.parametrize("module", ["torch", "torch.nn", "sklearn.metrics"])
def test_a_package_of_the_extra_that_is_missing_is_named(module: str) -> None:
    def work() -> None:
        """Import what is not there."""
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    result = CliRunner().invoke(command(work), [])
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {module}: no such package; run pip install '.[pipeline]' in the project's folder\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'breast_ultrasound.gone'", name="breast_ultrasound"),
        ModuleNotFoundError("without a name"),
        ImportError("cannot import name 'gone'", name="torch"),
    ],
)
def test_any_other_failing_import_is_a_bug(error: ImportError) -> None:
    def work() -> None:
        """Import what the project should have."""
        raise error

    result = CliRunner().invoke(command(work), [])
    assert result.exit_code == 3
    assert f"{type(error).__name__}: {error}" in result.stderr


def test_help_and_success_end_well() -> None:
    def nothing() -> None:
        """Do nothing."""

    assert CliRunner().invoke(command(nothing), []).exit_code == 0
    shown = CliRunner().invoke(command(nothing), ["--help"])
    assert shown.exit_code == 0
    assert "Do nothing." in shown.stdout


TALK = """
import sys, typer
from breast_ultrasound.console import command

def talk(n_lines: int, to: str) -> None:
    for _ in range(n_lines):
        typer.echo("größer 乳 " + chr(0xdcff), err=to == "stderr")

command(talk)()
"""


def talking(to: str, *arguments: str, pipe: int = subprocess.PIPE, **env: str) -> tuple[str, int]:
    """Return what is said elsewhere than in the pipe by a command that prints lines, and its code.

    Args:
        pipe: takes the stream `to`.
    """
    done = subprocess.run(
        [sys.executable, "-c", TALK, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **env},
        check=False,
        text=True,
        stdout=pipe if to == "stdout" else subprocess.PIPE,
        stderr=pipe if to == "stderr" else subprocess.PIPE,
    )
    return (done.stdout if to == "stderr" else done.stderr), done.returncode


@pytest.mark.parametrize(
    ("to", "arguments"),
    [
        ("stdout", ["1", "stdout"]),
        ("stdout", ["30000", "stdout"]),
        ("stdout", ["--help"]),
        ("stderr", ["1", "stderr"]),
        ("stderr", ["--wrong"]),
    ],
)
def test_a_pipe_that_nobody_reads_ends_it_in_silence(to: str, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert talking(to, *arguments, pipe=writer) == ("", 141)
    os.close(writer)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "latin-1:strict", "utf-8"])
@pytest.mark.parametrize("to", ["stdout", "stderr"])
def test_characters_that_a_stream_cannot_show_are_replaced(encoding: str, to: str) -> None:
    assert talking(to, "1", to, pipe=subprocess.DEVNULL, PYTHONIOENCODING=encoding) == ("", 0)
