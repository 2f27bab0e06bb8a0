"""Runs on folds: what the searches and the cross-validation have in common."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.folds import Fold
from breast_ultrasound.files import InputError
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params
from breast_ultrasound.ranking import auc
from breast_ultrasound.runs.run import Run, RunResult

# Carries out runs under a label for the progress bar: an Executor, or a test's function.
Execute = Callable[[list[Run], str], list[RunResult]]


def start_config(params: Params, lr: float) -> TrainingConfig:
    """Return the configuration that params.yaml describes, before any search."""
    return TrainingConfig(
        lr=lr,
        model=params.model,
        training=params.training,
        augment=params.augment,
        test_time_augmentation=True,
        recalibrate_batch_norm=True,
    )


def run_on(config: TrainingConfig, fold: Fold) -> Run:
    """Return the run of a configuration on a fold."""
    return Run(config, fold.seed, fold.train, fold.score)


def has_diverged(result: RunResult) -> bool:
    """Whether a training diverged: its logits are not all finite."""
    return not np.isfinite(result.logits).all()


def fold_auc(result: RunResult, fold: Fold, malignant: NDArray[np.bool_]) -> float:
    """Return the AUC of a run on its fold's scored images.

    A diverged training counts as 0, below any other.
    """
    if has_diverged(result):
        return 0.0
    return auc(malignant[fold.score], result.logits)


def refuse_diverged(runs: Sequence[Run], results: Sequence[RunResult]) -> None:
    """Raise InputError where a training diverged, and say what to lower."""
    rates = [run.config.lr for run, r in zip(runs, results, strict=True) if r.diverged]
    if rates:
        raise InputError(
            f"{len(rates)} of {len(runs)} trainings diverged, at the learning rate {rates[0]:g}: "
            "lower lr, tune_lr.high or grid_search.lr_multiplier"
        )


def short(lr: float) -> float:
    """Cut a learning rate to 3 digits, which say it all and are the same wherever written."""
    return float(f"{lr:.3g}")
