import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import other_cpu
from tools.workspace import ROOT

# For QEMU: runs the command as it is, but for one CPU something else.
FAKE = """#!/bin/sh
[ "$2" = EPYC-v1 ] && {epyc}
shift 2
exec "$@"
"""


@pytest.fixture(autouse=True)
def _one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(other_cpu, "COMMAND", (sys.executable, "-c", "print('digest: ab12')"))


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, epyc: str) -> None:
    qemu = folder / "qemu-x86_64"
    qemu.write_text(FAKE.format(epyc=epyc))
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("epyc", "line", "exit_code"),
    [
        (":", "the same", 0),
        ("exec echo 'digest: cd34'", "cd34", 1),
        ("kill -SEGV $$", "killed by SIGSEGV", 1),
        ("{ echo no torch >&2; exit 3; }", "exit code 3: no torch", 1),
        ("exec echo nothing", "expected a line 'digest: …', got none", 1),
    ],
)
def test_other_cpus_are_compared_with_this_one(
    epyc: str,
    line: str,
    exit_code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _install(tmp_path, monkeypatch, epyc)
    assert other_cpu.main() == exit_code
    assert capsys.readouterr().out.splitlines() == [
        "this CPU: ab12",
        f"EPYC-v1: {line}",
        "Haswell-noTSX: the same",
    ]


def test_what_is_missing_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert other_cpu.main() == 2
    assert capsys.readouterr().err == (
        "error: qemu-x86_64: no such program; install it: apt-get install qemu-user\n"
    )


def test_nothing_is_compared_where_this_cpu_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _install(tmp_path, monkeypatch, ":")
    monkeypatch.setattr(other_cpu, "COMMAND", (sys.executable, "-c", "1 / 0"))
    assert other_cpu.main() == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: exit code 1: ZeroDivisionError: division by zero\n"


@pytest.mark.slow
def test_the_digest_is_of_a_training_in_a_process_that_has_not_used_torch_before() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, tools.digest as d; print('torch' in sys.modules); d.main()",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "ATEN_CPU_CAPABILITY": "default"},
        text=True,
        capture_output=True,
        check=True,
    )
    before, images, digest = done.stdout.splitlines()
    assert before == "False"
    assert re.fullmatch(r"images: [0-9a-f]{64}", images)
    assert other_cpu.digest((sys.executable, "-m", "tools.digest")) == digest.removeprefix(
        "digest: "
    )
