"""Runs on folds: what the searches and the cross-validation have in common."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.folds import Fold
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params
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
    from sklearn.metrics import roc_auc_score

    if has_diverged(result):
        return 0.0
    return float(roc_auc_score(malignant[fold.score], result.logits))


def short(lr: float) -> float:
    """Cut a learning rate to 3 digits, which say it all and are the same wherever written."""
    return float(f"{lr:.3g}")
