import numpy as np
import pytest

from breast_ultrasound.data.folds import Fold, make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params, TuneLrParams
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.learning_rate import (
    Trial,
    _is_poor,
    best_trial,
    divergence_warning,
    edge_warning,
    tune_learning_rate,
)
from tools.workspace import shipped_params

BEST = 0.003


class Landscape:
    """Scores runs at once: the closer the rate to the best, the better; too large ones diverge."""

    def __init__(
        self, malignant: np.ndarray, best: float = BEST, diverges_from: float = np.inf
    ) -> None:
        self.malignant = malignant
        self.best = best
        self.diverges_from = diverges_from
        self.batches: list[list[Run]] = []

    def __call__(self, runs: list[Run], label: str) -> list[RunResult]:
        self.batches.append(runs)
        return [self._result_of(run) for run in runs]

    def _result_of(self, run: Run) -> RunResult:
        distance = abs(np.log10(run.config.lr / self.best))
        noise = np.random.default_rng(run.seed).normal(size=len(run.score))
        logits = self.malignant[run.score] * 1.0 + (0.3 + 2 * distance) * noise
        if run.config.lr >= self.diverges_from:
            logits *= np.nan
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


def test_the_first_round_is_spread_evenly(
    config: TrainingConfig, params: TuneLrParams, folds: list[Fold], dev: ImageSet
) -> None:
    for n_trials, places in ((24, [1 / 8, 3 / 8, 5 / 8, 7 / 8]), (2, [1 / 4, 3 / 4]), (1, [1 / 2])):
        few = params.model_copy(update={"n_trials": n_trials})
        trials = tune_learning_rate(config, few, folds, dev.malignant, 0, Landscape(dev.malignant))
        rates = [trial.lr for trial in trials[:4]]
        place = np.log(np.divide(rates, params.low)) / np.log(params.high / params.low)
        assert place == pytest.approx(np.array(places), abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("place", [0.03, 0.97])
def test_the_shipped_search_finds_a_best_rate_near_either_end(
    place: float, seed: int, config: TrainingConfig, folds: list[Fold], dev: ImageSet
) -> None:
    params = TuneLrParams.model_validate(shipped_params()["tune_lr"])
    best = params.low * (params.high / params.low) ** place
    learner = Landscape(dev.malignant, best)
    trials = tune_learning_rate(config, params, folds, dev.malignant, seed, learner)
    found = best_trial(trials, params)
    spread = np.log10(params.high / params.low)
    nearest = min(abs(np.log10(t.lr / best)) for t in trials[: params.round_size])
    assert nearest > 0.09 * spread  # of the first round, which knows nothing
    assert abs(np.log10(found.lr / best)) < 0.06 * spread


def test_the_shipped_search_is_as_large_as_promised() -> None:
    params = TuneLrParams.model_validate(shipped_params()["tune_lr"])
    assert params.n_trials >= 16
    assert params.high >= 100 * params.low


def test_poor_trials_stop_early_but_not_in_the_first_round(
    config: TrainingConfig, params: TuneLrParams, folds: list[Fold], dev: ImageSet
) -> None:
    landscape = Landscape(dev.malignant)
    trials = tune_learning_rate(config, params, folds, dev.malignant, 0, landscape)
    assert not any(trial.pruned for trial in trials[:4])
    pruned = [trial for trial in trials if trial.pruned]
    assert 1 in {len(trial.fold_auc) for trial in pruned}
    assert all(len(trial.fold_auc) < len(folds) for trial in pruned)
    assert sum(map(len, landscape.batches)) == sum(len(trial.fold_auc) for trial in trials)
    for trial in trials[4:]:
        earlier = [t for t in trials[: 4 * (trial.number // 4)] if t.stopped == "finished"]
        for n in range(1, len(folds)):
            if n > len(trial.fold_auc):
                break
            median = np.median([np.mean(t.fold_auc[:n]) for t in earlier])
            stops = trial.pruned and n == len(trial.fold_auc)
            assert (np.mean(trial.fold_auc[:n]) < median) == stops


def test_an_easy_first_fold_keeps_no_trial_going() -> None:
    earlier = [Trial(i, 0.1, (0.9, 0.7 + i / 100)) for i in range(3)]
    assert _is_poor(Trial(3, 0.1, (0.95, 0.4)), earlier)  # its mean 0.675, the median's 0.805
    assert not _is_poor(Trial(3, 0.1, (0.95,)), earlier)
    assert not _is_poor(Trial(3, 0.1, (0.1,)), [])


def test_a_diverged_trial_is_a_bad_trial_and_no_error(
    config: TrainingConfig, params: TuneLrParams, folds: list[Fold], dev: ImageSet
) -> None:
    for limit in (0.1, 0.004):  # a half of the first round diverges, and all but the best rates
        learner = Landscape(dev.malignant, diverges_from=limit)
        trials = tune_learning_rate(config, params, folds, dev.malignant, 0, learner)
        assert all(trial.diverged == (trial.lr >= limit) for trial in trials)
        diverged = [trial for trial in trials if trial.diverged]
        assert 0 < len(diverged) < 16  # the search turns away from them
        assert all(trial.fold_auc == (0.0,) for trial in diverged)
        assert all(trial.stopped == "diverged" for trial in diverged)
        best = best_trial(trials, params)
        assert abs(np.log10(best.lr / BEST)) < 0.5
        warning = divergence_warning(trials) or ""
        assert f"{len(diverged)} of 24 trials diverged" in warning
        assert f"{min(trial.lr for trial in diverged):g};" in warning
    assert divergence_warning(trials[:1]) is None


def test_a_trial_that_diverges_late_counts_as_the_worst() -> None:
    assert Trial(0, 0.1, (0.9, 0.0), diverged=True).auc == 0


def test_only_when_all_diverge_it_is_an_error(
    config: TrainingConfig, params: TuneLrParams, folds: list[Fold], dev: ImageSet
) -> None:
    learner = Landscape(dev.malignant, diverges_from=0)
    trials = tune_learning_rate(config, params, folds, dev.malignant, 0, learner)
    assert len(trials) == sum(map(len, learner.batches)) == 24  # one fold each
    with pytest.raises(InputError, match=r"got 24 trials that diverged; lower .*tune_lr\.high = 1"):
        best_trial(trials, params)


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
    trials = [Trial(0, 0.1, (0.7, 0.7)), Trial(1, 0.2, (0.9,), pruned=True)]
    assert best_trial(trials, params).number == 0


@pytest.mark.parametrize(
    ("tie", "winner"),
    [
        (0.0, 0.08),  # the best alone
        (0.002, 0.04),  # two: the lower
        (0.004, 0.04),  # three: the middle one
        (0.005, 0.02),  # four: the lower of the middle two
        (0.1, 0.04),  # all five that finished
    ],
)
def test_ties_go_to_the_median_of_their_rates(
    tie: float, winner: float, params: TuneLrParams
) -> None:
    trials = [
        Trial(0, 0.01, (0.875,)),
        Trial(1, 0.08, (0.880,)),
        Trial(2, 0.02, (0.8765,)),
        Trial(3, 0.1, (0.85,)),
        Trial(4, 0.04, (0.8785,)),
        Trial(5, 0.001, (0.9,), pruned=True),
        Trial(6, 0.5, (0.9, 0.0), diverged=True),
    ]
    assert best_trial(trials, params.model_copy(update={"tie": tie})).lr == winner
