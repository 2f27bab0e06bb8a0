"""Try ideas on the grouped folds: what lab notes quote.

    python -m benchmarks.ideas [--ideas NAME …] [--repeats 3]

Each changes the training of the chosen configuration; differences to the plain training are paired
by fold and seed; the last row is the official recipe. A training that is finished is kept in the
user's cache folder, until the code that trains or the idea's module changes. Run after `dvc repro`.
"""

import argparse
import hashlib
import inspect
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from benchmarks.compare import print_table
from benchmarks.folds import load_dev, on_folds, side_by_side
from benchmarks.ideas import IDEAS
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.files import read_arrays, write_arrays
from breast_ultrasound.runs.execute import Executor, find_hardware, find_resources
from breast_ultrasound.runs.run import Run, digest_of, key_of
from breast_ultrasound.search.cross_validation import CrossValidation

KEPT = user_cache_path("breast-ultrasound") / "ideas"


def main() -> None:
    """Print a table in Markdown, a row an idea, the plain training first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ideas", nargs="*", default=list(IDEAS), choices=list(IDEAS))
    parser.add_argument("--repeats", type=int, default=3, help="of the folds")
    arguments = parser.parse_args()
    dev = load_dev()

    def results() -> Iterator[tuple[str, CrossValidation]]:
        resources = find_resources("cpu", 0, None)
        plain = Executor(dev.images, dev.malignant, resources)
        yield "plain", on_folds(dev, arguments.repeats, plain)
        for name in arguments.ideas:
            idea = side_by_side(partial(logits_by, name, dev, KEPT))
            yield name, on_folds(dev, arguments.repeats, idea)

    print_table("idea", results(), dev)


def logits_by(idea: str, dev: ImageSet, kept: Path, run: Run) -> NDArray[np.float32]:
    """Return the logits of the run's scored images by an idea, trained or read from `kept`."""
    data = digest_of({"images": dev.images, "malignant": dev.malignant, "group": dev.group})
    code = Path(inspect.getfile(IDEAS[idea])).read_text()
    key = key_of(run, data, find_hardware("cpu")) + f"{idea}|{code}"
    path = kept / f"{hashlib.sha256(key.encode()).hexdigest()}.npz"
    if not path.exists():
        write_arrays(path, {"logits": IDEAS[idea](run, dev).logits})
    return np.asarray(read_arrays(path, ["logits"])["logits"], dtype=np.float32)


if __name__ == "__main__":
    main()
