"""Train a little in each of the given arithmetics, one after the other, and print what came.

python tests/runs/tiny_trainings.py portable fp32 …
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from breast_ultrasound.data.official import read_official
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.files import write_arrays
from breast_ultrasound.params import Params
from breast_ultrasound.runs.cache import RunCache
from breast_ultrasound.runs.execute import Executor, Resources
from breast_ultrasound.runs.run import Run, digest_of
from breast_ultrasound.search.fold_runs import start_config
from tools.workspace import TINY, merged, shipped_params


def main(folder: Path, arithmetics: list[str]) -> None:
    """Print for each arithmetic its description, and the keys and digests of two trainings."""
    write_arrays(folder / "raw.npz", make_phantoms(60, seed=0))
    images = read_official(folder / "raw.npz")
    rows = []
    for number, arithmetic in enumerate(arithmetics):
        changes = {"training": {"arithmetic": arithmetic}}
        params = Params.model_validate(merged(merged(shipped_params(), TINY), changes))
        config = start_config(params, lr=0.01)
        runs = [
            Run(config, seed, np.arange(40), np.arange(40, 60), keep_weights=True)
            for seed in (0, 1)
        ]
        cache = RunCache(folder / str(number))
        execute = Executor(
            images.images, images.malignant, Resources("cpu", 1, cache), params.training.arithmetic
        )
        results = execute(runs, arithmetic)
        digests = [
            digest_of({"": r.logits, "train_loss": r.train_loss, **r.weights}) for r in results
        ]
        keys = sorted(path.stem for path in cache.folder.rglob("*.safetensors"))
        rows.append({"trained_on": execute.trained_on, "keys": keys, "digests": digests})
    print(json.dumps(rows))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), sys.argv[1:])
