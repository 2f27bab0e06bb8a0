import os
import signal
import time
from contextlib import suppress

import pytest
import typer
from typer.testing import CliRunner

from breast_ultrasound.console import command


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


def test_a_bug_shows_its_traceback_and_an_exit_its_code() -> None:
    def fail() -> None:
        """Fail."""
        raise ZeroDivisionError

    def leave() -> None:
        """Leave."""
        raise typer.Exit(1)

    assert isinstance(CliRunner().invoke(command(fail), []).exception, ZeroDivisionError)
    assert CliRunner().invoke(command(leave), []).exit_code == 1


@pytest.mark.parametrize("module", ["torch", "torch.nn", "sklearn.metrics"])
def test_a_package_of_the_extra_that_is_missing_is_named(module: str) -> None:
    def work() -> None:
        """Import what is not there."""
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    result = CliRunner().invoke(command(work), [])
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {module}: no such package; pip install 'breast-ultrasound[pipeline]'\n"
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

    assert CliRunner().invoke(command(work), []).exception is error


def test_help_and_success_end_well() -> None:
    def nothing() -> None:
        """Do nothing."""

    assert CliRunner().invoke(command(nothing), []).exit_code == 0
    shown = CliRunner().invoke(command(nothing), ["--help"])
    assert shown.exit_code == 0
    assert "Do nothing." in shown.stdout
