"""Whether CPUs of other makers compute the same bytes: emulated by QEMU, some minutes each."""

import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

from tools.workspace import ROOT

# AMD's first Zen and Intel's first with AVX2, neither with AVX-512. Under QEMU 7.2 torch crashes as
# `EPYC`, `EPYC-Rome`, `Haswell` and `max`; as these two only its `grid_sample` in AVX2 does.
CPUS = ("EPYC-v1", "Haswell-noTSX")
COMMAND = (sys.executable, "-m", "tools.digest")
LINE = "digest: "


def main() -> int:
    """Print the digest of a tiny training here, and whether the other CPUs have the same."""
    qemu = shutil.which("qemu-x86_64")
    if qemu is None:
        return _refuse("qemu-x86_64: no such program; install it: apt-get install qemu-user")
    if platform.machine() != "x86_64":  # QEMU would run this machine's Python
        return _refuse(f"expected a machine of x86_64, got {platform.machine()}")
    try:
        here = digest(COMMAND)
    except ChildProcessError as error:
        return _refuse(str(error))
    print(f"this CPU: {here}", flush=True)
    answers = [_compare(qemu, cpu, here) for cpu in CPUS]
    return 0 if all(answers) else 1


def _refuse(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 2


def _compare(qemu: str, cpu: str, here: str) -> bool:
    """Print what a CPU computes, and return whether it is the same as here."""
    try:
        found = digest((qemu, "-cpu", cpu, *COMMAND))
    except ChildProcessError as error:
        found = str(error)
    print(f"{cpu}: {'the same' if found == here else found}", flush=True)
    return found == here


def digest(command: Sequence[str]) -> str:
    """Return the digest that a command prints.

    Raises:
        ChildProcessError: it failed, or printed none; the message says how.
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True, check=False)
    if done.returncode < 0:
        raise ChildProcessError(f"killed by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no message"]
        raise ChildProcessError(f"exit code {done.returncode}: {words[-1]}")
    for line in done.stdout.splitlines():
        if line.startswith(LINE):
            return line.removeprefix(LINE)
    raise ChildProcessError(f"expected a line '{LINE}…', got none")


if __name__ == "__main__":
    sys.exit(main())
