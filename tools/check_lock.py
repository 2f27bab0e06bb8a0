"""Whether both lock files belong to the code and parameters beside them; needs no data."""

import subprocess
import sys

import yaml

from tools.workspace import ROOT, dvc_stages

FOLDERS = {"": ROOT, "studies/dvc.yaml:": ROOT / "studies"}  # by what names a stage of theirs
LONG = "official_recipe"  # takes over an hour: it may be of older code


def main() -> int:
    """Ask DVC what it would run; anything means that the committed results are of other code."""
    names = [*dvc_stages(), *(f"studies/dvc.yaml:{s}" for s in dvc_stages("studies/dvc.yaml"))]
    asked = [name for name in names if not name.endswith(LONG)]
    command = [sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing", *asked]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    pending = [line for line in done.stdout.splitlines() if line.startswith("Running stage")]
    if done.returncode or pending:
        print("\n".join([*pending, done.stderr.strip()]), file=sys.stderr)
        print(
            "error: the lock files do not match the code and parameters: run `make repro "
            "studies resolution`, then commit both, metrics and plots",
            file=sys.stderr,
        )
        return 2
    locked = [
        prefix + stage
        for prefix, folder in FOLDERS.items()
        for stage in yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    ]
    if gone := set(locked) - set(names):  # DVC leaves them in
        print(f"error: lock files have stages that no dvc.yaml has: delete {gone}", file=sys.stderr)
        return 2
    if f"studies/dvc.yaml:{LONG}" not in locked:
        print(f"note: {LONG} has not been run: `make official-recipe`, over an hour")
    print("both lock files match the code and parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
