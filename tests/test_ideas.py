"""The ideas of benchmarks/ideas do what they say they change, and nothing by chance."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.folds import side_by_side
from benchmarks.ideas import IDEAS
from benchmarks.ideas.__main__ import logits_by
from benchmarks.ideas.plain import plain
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.runs.run import Run
from breast_ultrasound.search.fold_runs import run_on


@pytest.fixture(scope="module")
def run(config: TrainingConfig, dev: ImageSet) -> Run:
    short = config.training.model_copy(update={"n_epochs": 3})
    fold = make_folds(dev.malignant, dev.group, 2, 0, 0)[0]
    return run_on(config.model_copy(update={"training": short}), fold)


@pytest.fixture(scope="module")
def contradicting(dev: ImageSet, run: Run) -> ImageSet:
    """Near-twins to learn from carry both labels."""
    _, first, count = np.unique(dev.group[run.train], return_index=True, return_counts=True)
    twin = run.train[first[count > 1][0]]
    malignant = dev.malignant.copy()
    malignant[dev.group == dev.group[twin]] = False
    malignant[twin] = True
    return replace(dev, malignant=malignant)


@pytest.mark.slow
@pytest.mark.parametrize("idea", IDEAS)
def test_an_idea_changes_the_training_and_leaves_no_trace(
    idea: str, run: Run, contradicting: ImageSet
) -> None:
    dev = contradicting
    before = plain(run, dev).logits
    logits = IDEAS[idea](run, dev).logits
    assert logits.shape == before.shape
    assert np.isfinite(logits).all()
    assert not np.array_equal(logits, before)
    assert np.array_equal(IDEAS[idea](run, dev).logits, logits)
    assert np.array_equal(plain(run, dev).logits, before)


@pytest.mark.slow
def test_workers_keep_what_they_train(run: Run, dev: ImageSet, tmp_path: Path) -> None:
    execute = side_by_side(partial(logits_by, "blur-pool", dev, tmp_path))
    first = execute([run, run], "")
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    again = execute([run], "")
    assert np.array_equal(first[0].logits, again[0].logits)
    assert kept.stat().st_mtime_ns == written
