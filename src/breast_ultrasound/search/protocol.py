"""The whole protocol on a dev set, as the stages carry it out one by one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model.artifact import TrainedModel
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params
from breast_ultrasound.runs.execute import Executor
from breast_ultrasound.runs.run import Run
from breast_ultrasound.search.cross_validation import CrossValidation, cross_validate
from breast_ultrasound.search.final_models import baseline_run, final_runs, train_models
from breast_ultrasound.search.fold_runs import start_config
from breast_ultrasound.search.grid import Candidate, search_grid
from breast_ultrasound.search.learning_rate import Trial, best_trial, tune_learning_rate


@dataclass(frozen=True)
class ProtocolResult:
    """What the protocol chose and made.

    Attributes:
        lr: the learning rate, tuned or pinned.
        ranking: the settings of the grid, the chosen one first.
        validation: of the chosen configuration, on cuts that no search has used.
        models: `baseline` and `final`.
    """

    lr: float
    ranking: list[Candidate]
    validation: CrossValidation
    models: dict[str, TrainedModel]


def run_protocol(
    dev: ImageSet,
    params: Params,
    execute: Executor,
    weights: Mapping[str, NDArray[np.float32]] | None = None,
) -> ProtocolResult:
    """Tune, search, cross-validate and train.

    Args:
        weights: that the baseline starts from; None starts it from random ones.
    """
    lr = params.lr
    if lr is None:
        lr = best_trial(tune(dev, params, execute), params.tune_lr).lr
    ranking = search(dev, params, lr, execute)
    config = ranking[0].config
    n_splits, n_repeats = params.folds.n_splits, params.cross_validate.n_repeats
    validation = cross_validate(config, dev, n_splits, n_repeats, params.seed, execute)
    trained = train_models(
        plan_models(config, dev, params, weights),
        validation.logits.mean(axis=0),
        params.preprocess.near_duplicate_correlation,
        execute,
    )
    models = {name: model for name, (model, _) in trained.items()}
    return ProtocolResult(lr, ranking, validation, models)


def tune(dev: ImageSet, params: Params, execute: Executor) -> list[Trial]:
    """Return the trials of the learning-rate search."""
    tuning = params.tune_lr
    start = start_config(params, tuning.low)  # each trial puts its own rate
    folds = make_folds(dev.malignant, dev.group, params.folds.n_splits, params.seed)
    return tune_learning_rate(
        start, tuning, folds[: tuning.n_folds], dev.malignant, params.seed, execute
    )


def search(dev: ImageSet, params: Params, lr: float, execute: Executor) -> list[Candidate]:
    """Return the settings of the grid, the chosen one first."""
    grid = params.grid_search
    folds = make_folds(dev.malignant, dev.group, params.folds.n_splits, params.seed)
    start = start_config(params, lr)
    return search_grid(
        start, grid, folds[: grid.n_folds], dev.malignant, dev.side, params.seed, execute
    )


def plan_models(
    config: TrainingConfig,
    dev: ImageSet,
    params: Params,
    weights: Mapping[str, NDArray[np.float32]] | None,
) -> dict[str, list[Run]]:
    """Return the runs of the baseline and of the ensemble, the longest first.

    Args:
        weights: that the baseline starts from; None starts it from random ones.
    """
    arithmetic, seed = config.training.arithmetic, params.seed
    return {
        "baseline": [baseline_run(params.baseline, arithmetic, dev, seed, weights)],
        "final": final_runs(config, np.arange(len(dev)), params.final.n_seeds, seed),
    }


def baseline_weights(params: Params) -> dict[str, NDArray[np.float32]] | None:
    """Return the weights that the baseline starts from, by `baseline.weights`; None: random."""
    weights, search_path = params.baseline.weights, params.data.search_path
    if weights is None:
        return None
    from breast_ultrasound.model.pretrained import imagenet_weights

    return imagenet_weights(search_path)
