import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.evaluation.metrics import scores
from breast_ultrasound.files import InputError
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.cross_validation import (
    SEARCH_REPEAT,
    cross_validate,
    estimate_folds,
    fold_rows,
    scored,
    single_auc,
    summarise,
)


class Peeking:
    """A learner that scores an image right if and only if a near-duplicate is among its own."""

    def __init__(self, dev: ImageSet) -> None:
        self.dev = dev
        self.runs: list[Run] = []

    def __call__(self, runs: list[Run], label: str) -> list[RunResult]:
        self.runs += runs
        return [self._result_of(run) for run in runs]

    def _result_of(self, run: Run) -> RunResult:
        known = np.isin(self.dev.group[run.score], self.dev.group[run.train])
        truth = np.where(self.dev.malignant[run.score], 3.0, -3.0)
        guess = np.random.default_rng(run.seed).normal(size=len(run.score))
        return RunResult(np.where(known, truth, guess).astype(np.float32), np.zeros(1), np.zeros(0))


def test_every_image_is_scored_once_a_repeat(config: TrainingConfig, dev: ImageSet) -> None:
    learner = Peeking(dev)
    result = cross_validate(config, dev, 3, 2, seed=0, execute=learner)
    assert len(result.folds) == len(result.fold_scores) == len(learner.runs) == 6
    assert not any(run.best_epoch for run in learner.runs)  # by the scored images it would be
    expected = np.full((2, len(dev)), np.nan)
    for fold, found in zip(result.folds, Peeking(dev)(learner.runs, ""), strict=True):
        expected[fold.repeat - SEARCH_REPEAT - 1, fold.score] = found.logits
    assert np.array_equal(result.logits, expected)


def test_no_fold_is_calibrated_on_itself(config: TrainingConfig, dev: ImageSet) -> None:
    result = cross_validate(config, dev, 3, 2, seed=0, execute=Peeking(dev))
    for fold, row in zip(result.folds, result.fold_scores, strict=True):
        rest = np.setdiff1d(np.arange(len(dev)), fold.score)
        own = result.logits[fold.repeat - SEARCH_REPEAT - 1]
        calibration = platt_scaling(own[rest], dev.malignant[rest])
        probability = calibration.probability(own[fold.score])
        assert row == scores(dev.malignant[fold.score], probability)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("grouped", [True, False])
def test_no_cut_of_an_estimate_is_one_of_the_searches(
    dev: ImageSet, seed: int, grouped: bool
) -> None:
    """What was chosen on a cut looks better on it than on others."""
    group = dev.group if grouped else None
    searched = make_folds(dev.malignant, group, 5, seed)
    assert {fold.repeat for fold in searched} == {SEARCH_REPEAT}
    estimated = estimate_folds(dev, 5, 3, seed, grouped)
    cuts = [frozenset(fold.score.tolist()) for fold in (*searched, *estimated)]
    assert len(set(cuts)) == len(cuts) == 20
    assert len({fold.seed for fold in (*searched, *estimated)}) == 20
    for repeat in range(3):
        scored_images = [fold.score for fold in estimated[5 * repeat : 5 * repeat + 5]]
        assert sorted(np.concatenate(scored_images)) == list(range(len(dev)))


def test_a_diverged_training_is_no_estimate(config: TrainingConfig, dev: ImageSet) -> None:
    class Diverging(Peeking):
        def _result_of(self, run: Run) -> RunResult:
            if len(self.runs) == 6 and run is self.runs[3]:
                return RunResult(np.full(len(run.score), np.nan, "f4"), np.zeros(0), np.zeros(0))
            return super()._result_of(run)

    with pytest.raises(InputError, match=r"1 of 6 trainings diverged, at the learning rate 0\.01"):
        cross_validate(config, dev, 3, 2, seed=0, execute=Diverging(dev))


def test_logits_of_any_learner_are_scored_alike(config: TrainingConfig, dev: ImageSet) -> None:
    result = cross_validate(config, dev, 3, 2, seed=0, execute=Peeking(dev))
    again = scored(result.logits, estimate_folds(dev, 3, 2, 0), dev.malignant)
    assert again.fold_scores == result.fold_scores


def test_grouped_folds_leave_nothing_to_peek_at(config: TrainingConfig, dev: ImageSet) -> None:
    """Scores that come from memory alone vanish when near-duplicates stay together."""
    learner = Peeking(dev)
    cross_validate(config, dev, 3, 1, seed=0, execute=learner)
    for run in learner.runs:
        assert not set(dev.group[run.train]) & set(dev.group[run.score])
    free = Peeking(dev)
    cross_validate(config, dev, 3, 1, seed=0, execute=free, grouped=False)
    assert any(set(dev.group[run.train]) & set(dev.group[run.score]) for run in free.runs)


def test_the_summary_has_stable_names(config: TrainingConfig, dev: ImageSet) -> None:
    result = cross_validate(config, dev, 3, 2, seed=0, execute=Peeking(dev))
    summary = summarise(result, dev, 0.95)
    aucs = [row["auc"] for row in result.fold_scores]
    assert summary["auc"] == {"mean": np.mean(aucs), "sd": np.std(aucs, ddof=1)}
    assert summary.keys() == {*result.fold_scores[0], "pooled"}
    own = [roc_auc_score(dev.malignant, logits) for logits in result.logits]
    assert summary["pooled"]["single_auc"] == pytest.approx(np.mean(own))
    assert single_auc(result.logits, dev.malignant) == summary["pooled"]["single_auc"]
    mean = result.logits.mean(axis=0)
    expected = scores(dev.malignant, platt_scaling(mean, dev.malignant).probability(mean))
    assert {name: summary["pooled"][name] for name in expected} == expected
    low, high = (summary["pooled"][f"auc_{end}"] for end in ("low", "high"))
    assert low < expected["auc"] < high
    columns, rows = fold_rows(result)
    assert columns == ["fold", *result.fold_scores[0]]
    assert [row[0] for row in rows] == ["1.1", "1.2", "1.3", "2.1", "2.2", "2.3"]
    assert [row[1] for row in rows] == aucs
