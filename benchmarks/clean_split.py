"""The whole pipeline on splits that no near-twin crosses: two rows of the README.

It runs in a temporary copy with `data.split=clean` and writes docs/clean-split.json: the metrics,
and a digest of the stages' code and the parameters they belong to.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from breast_ultrasound.files import read_json, write_json
from tests.results_table import CLEAN_SPLIT, MODELS, origin, row_of
from tests.workspace import copy_with_data

CACHE = "BREAST_ULTRASOUND_CACHE"  # the user's store, not one of its own


def main() -> None:
    """Run it with the user's store, keep the metrics, and print the rows' scores."""
    with tempfile.TemporaryDirectory(prefix="breast-ultrasound-clean-") as temporary:
        folder, env = copy_with_data(Path(temporary), {"data": {"split": "clean"}})
        del env[CACHE]
        env |= {name: value for name, value in os.environ.items() if name == CACHE}
        if subprocess.run(["dvc", "repro"], cwd=folder, env=env, check=False).returncode:
            sys.exit(1)
        names = ("data", "cross_validate", "evaluate")
        metrics = {name: read_json(folder / "metrics" / f"{name}.json") for name in names}
    write_json(CLEAN_SPLIT, {"origin": origin(), **metrics})
    for model in MODELS:
        print(f"{model} | {row_of(metrics['evaluate'][model]['test'])}")


if __name__ == "__main__":
    main()
