"""Whether both lock files belong to the code and parameters beside them; needs no data."""

import subprocess
import sys

import yaml

from tools.workspace import ROOT

PIPELINES = (ROOT, ROOT / "studies")
LONG = "studies/dvc.yaml:official_recipe"  # may be of older code: it takes over an hour


def main() -> int:
    """Ask DVC what it would run; anything means that the committed results are of other code."""
    command = [sys.executable, "-m", "dvc", "repro", "--all-pipelines", "--dry", "--allow-missing"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    running = [line for line in done.stdout.splitlines() if line.startswith("Running stage")]
    pending = [line for line in running if LONG not in line]
    if len(pending) < len(running):
        print(f"note: {LONG} is out of date, over an hour: `make official-recipe`", file=sys.stderr)
    if done.returncode or pending:
        print("\n".join([*pending, done.stderr.strip()]), file=sys.stderr)
        print(
            "error: the lock files do not match the code and parameters: run `make repro studies`, "
            "then commit both, metrics and plots",
            file=sys.stderr,
        )
        return 2
    for folder in PIPELINES:
        locked, stages = (
            yaml.safe_load((folder / name).read_text())["stages"]
            for name in ("dvc.lock", "dvc.yaml")
        )
        if gone := locked.keys() - stages.keys():  # DVC leaves them in
            print(f"error: {folder / 'dvc.lock'}: delete the stages {gone}", file=sys.stderr)
            return 2
    print("both lock files match the code and parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
