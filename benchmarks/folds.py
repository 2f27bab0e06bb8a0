"""The pipeline's folds of dev, for any learner."""

from collections.abc import Callable

import joblib
import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.model.training import TrainingConfig, read_config
from breast_ultrasound.params import load_params
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.cross_validation import CrossValidation, cross_validate
from breast_ultrasound.search.fold_runs import Execute
from tools.workspace import ROOT


def load_dev() -> ImageSet:
    """Return dev as `preprocess` left it."""
    return ImageSet.load(ROOT / "data/processed/dev.npz")


def chosen_config() -> TrainingConfig:
    """Return the configuration that the searches chose."""
    return read_config(ROOT / "data/chosen.json")


def on_folds(
    dev: ImageSet, n_repeats: int, execute: Execute, config: TrainingConfig | None = None
) -> CrossValidation:
    """Cross-validate on the grouped folds; runs have the chosen configuration if no other."""
    params = load_params(ROOT / "params.yaml")
    config = config or chosen_config()
    return cross_validate(config, dev, params.folds.n_splits, n_repeats, params.seed, execute)


def side_by_side(answer: Callable[[Run], NDArray[np.floating]]) -> Execute:
    """Return what carries out runs by `answer`, which scores a run's images, on all cores."""

    def execute(runs: list[Run], _: str) -> list[RunResult]:
        parallel = joblib.Parallel(n_jobs=joblib.cpu_count(only_physical_cores=True))
        answers = parallel(joblib.delayed(answer)(run) for run in runs)
        nothing = np.zeros(0)
        return [RunResult(a.astype(np.float32), nothing, nothing) for a in answers]

    return execute
