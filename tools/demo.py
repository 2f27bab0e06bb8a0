"""The demonstration: the whole pipeline on generated phantoms, in a temporary copy."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.workspace import copy_without_git, environment

SMALL = {
    "data": {"name": "phantom", "n_phantoms": 400},
    "model": {"width": 8},
    "training": {"n_epochs": 10, "ema_decay": 0.9},
    "folds": {"n_splits": 3},
    "tune_lr": {"n_trials": 6, "round_size": 2, "n_folds": 2},
    "grid_search": {
        "max_settings": 4,
        "first_epochs": 4,
        "n_folds": 3,
        "stem": None,
        "width": None,
        "blocks": None,
    },
    "cross_validate": {"n_repeats": 1},
    "baseline": {"n_epochs": 10},
    "final": {"n_seeds": 2},
    "evaluate": {"n_bootstrap": 100},
}


def main() -> int:
    """Run it, and say where to look."""
    folder = copy_without_git(Path(tempfile.mkdtemp(prefix="breast-ultrasound-demo-")), SMALL)
    env = environment(folder / "cache")
    dvc = [sys.executable, "-m", "dvc"]
    if subprocess.run([*dvc, "repro"], cwd=folder, env=env, check=False).returncode:
        return 1
    subprocess.run([*dvc, "metrics", "show", "metrics/data.json"], cwd=folder, env=env, check=False)
    print(
        f"\nGenerated phantoms, not patients: these scores say nothing about ultrasound.\n"
        f"Metrics and plots lie in {folder}; remove it when you are done."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
