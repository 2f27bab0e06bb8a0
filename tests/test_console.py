import os
import signal
import time

import pytest
from typer.testing import CliRunner

from breast_ultrasound.console import command


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_one_line(sent: signal.Signals, exit_code: int) -> None:
    def wait() -> None:
        """Be told to end."""
        os.kill(os.getpid(), sent)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(command(wait), [])
    assert result.exit_code == exit_code
    assert result.stderr == "interrupted: finished trainings are kept, run again to go on\n"
    assert signal.getsignal(signal.SIGTERM) is before
