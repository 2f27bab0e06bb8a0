import numpy as np
import pytest

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.folds import Fold, make_folds
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params, TuneLrParams
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.learning_rate import (
    Trial,
    best_trial,
    edge_warning,
    tune_learning_rate,
)

BEST = 0.003


class Landscape:
    """Answers runs at once: the closer the rate to BEST, the better the scores."""

    def __init__(self, malignant: np.ndarray) -> None:
        self.malignant = malignant
        self.batches: list[list[Run]] = []

    def __call__(self, runs: list[Run], label: str) -> list[RunResult]:
        self.batches.append(runs)
        return [self._answer(run) for run in runs]

    def _answer(self, run: Run) -> RunResult:
        distance = abs(np.log10(run.config.lr / BEST))
        noise = np.random.default_rng(run.seed).normal(size=len(run.score))
        logits = self.malignant[run.score] * 1.0 + (0.3 + 2 * distance) * noise
        return RunResult(logits.astype(np.float32), np.zeros(1), np.zeros(0))


@pytest.fixture
def params(tiny_params: Params) -> TuneLrParams:
    wide = {"low": 1e-5, "high": 1.0, "n_trials": 24, "round_size": 4, "n_folds": 3}
    return tiny_params.tune_lr.model_copy(update=wide)


@pytest.fixture
def folds(dev: ImageSet) -> list[Fold]:
    return make_folds(dev.malignant, dev.group, 3, seed=0)


def test_the_search_finds_the_best_rate(
    config: TrainingConfig, params: TuneLrParams, folds: list[Fold], dev: ImageSet
) -> None:
    trials = tune_learning_rate(config, params, folds, dev.malignant, 0, Landscape(dev.malignant))
    assert len(trials) == 24
    best = best_trial(trials, params.model_copy(update={"tie": 0.0}))
    assert abs(np.log10(best.lr / BEST)) < 0.4
    assert best.auc == max(trial.auc for trial in trials if not trial.pruned)
    assert all(params.low <= trial.lr <= params.high for trial in trials)
    assert trials[0].lr == pytest.approx(np.sqrt(params.low * params.high), rel=1e-2)


def test_poor_trials_stop_early_but_not_in_the_first_round(
    config: TrainingConfig, params: TuneLrParams, folds: list[Fold], dev: ImageSet
) -> None:
    landscape = Landscape(dev.malignant)
    trials = tune_learning_rate(config, params, folds, dev.malignant, 0, landscape)
    assert not any(trial.pruned for trial in trials[:4])
    pruned = [trial for trial in trials if trial.pruned]
    assert pruned
    assert all(len(trial.fold_auc) == 2 for trial in pruned)  # one fold would be noise
    assert sum(map(len, landscape.batches)) == sum(len(trial.fold_auc) for trial in trials)


def test_the_same_seed_proposes_the_same_and_rounds_run_together(
    config: TrainingConfig, params: TuneLrParams, folds: list[Fold], dev: ImageSet
) -> None:
    first, again = Landscape(dev.malignant), Landscape(dev.malignant)
    one = tune_learning_rate(config, params, folds, dev.malignant, 5, first)
    two = tune_learning_rate(config, params, folds, dev.malignant, 5, again)
    other = tune_learning_rate(config, params, folds, dev.malignant, 6, again)
    assert one == two != other
    assert len(first.batches[0]) == params.round_size


def test_a_best_rate_near_an_end_is_warned_of(params: TuneLrParams) -> None:
    assert edge_warning(0.003, params) is None
    assert "tune_lr.low = 1e-05" in (edge_warning(1.2e-5, params) or "")
    assert "tune_lr.high = 1.0" in (edge_warning(0.99, params) or "")


def test_a_pruned_trial_never_wins(params: TuneLrParams) -> None:
    trials = [Trial(0, 0.1, (0.7, 0.7), False), Trial(1, 0.2, (0.9,), True)]
    assert best_trial(trials, params).number == 0


def test_ties_go_to_the_rate_in_the_middle_of_the_range(params: TuneLrParams) -> None:
    middle = float(np.sqrt(params.low * params.high))
    trials = [
        Trial(0, middle / 30, (0.880,), False),
        Trial(1, middle * 5, (0.877,), False),
        Trial(2, middle, (0.870,), False),
    ]
    for tie, winner in ((0.0, 0), (0.002, 0), (0.005, 1), (0.02, 2)):
        tied = params.model_copy(update={"tie": tie})
        assert best_trial(trials, tied).number == winner
