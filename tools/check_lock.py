"""Whether dvc.lock belongs to the code and parameters beside it; needs no data."""

import subprocess
import sys

import yaml

from tools.workspace import ROOT


def main() -> int:
    """Ask DVC what it would run; anything means that the committed results are of other code."""
    command = [sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    pending = [line for line in done.stdout.splitlines() if line.startswith("Running stage")]
    locked, stages = (
        yaml.safe_load((ROOT / name).read_text())["stages"] for name in ("dvc.lock", "dvc.yaml")
    )
    gone = locked.keys() - stages.keys()  # DVC leaves them in
    if done.returncode or pending:
        print("\n".join([*pending, done.stderr.strip()]), file=sys.stderr)
        print(
            "error: dvc.lock does not match the code and parameters: run `make repro`, then commit "
            "dvc.lock, metrics and plots",
            file=sys.stderr,
        )
        return 2
    if gone:
        print(f"error: dvc.lock has stages that dvc.yaml has not: delete {gone}", file=sys.stderr)
        return 2
    print("dvc.lock matches the code and parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
