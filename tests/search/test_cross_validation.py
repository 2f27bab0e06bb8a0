import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation.calibration import choose_decision
from breast_ultrasound.evaluation.metrics import scores
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.cross_validation import cross_validate, fold_rows, summarise


class Peeking:
    """A learner that scores an image right if and only if a near-duplicate is among its own."""

    def __init__(self, dev: ImageSet) -> None:
        self.dev = dev
        self.runs: list[Run] = []

    def __call__(self, runs: list[Run], label: str) -> list[RunResult]:
        self.runs += runs
        return [self._answer(run) for run in runs]

    def _answer(self, run: Run) -> RunResult:
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
    for fold, answer in zip(result.folds, Peeking(dev)(learner.runs, ""), strict=True):
        expected[fold.repeat, fold.score] = answer.logits
    assert np.array_equal(result.logits, expected)


def test_no_fold_is_calibrated_on_itself(config: TrainingConfig, dev: ImageSet) -> None:
    result = cross_validate(config, dev, 3, 2, seed=0, execute=Peeking(dev))
    for fold, row in zip(result.folds, result.fold_scores, strict=True):
        rest = np.setdiff1d(np.arange(len(dev)), fold.score)
        own = result.logits[fold.repeat]
        decision = choose_decision(own[rest], dev.malignant[rest])
        probability = decision.probability(own[fold.score])
        assert row == scores(dev.malignant[fold.score], probability, decision.threshold)


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
    grouped = cross_validate(config, dev, 3, 2, seed=0, execute=Peeking(dev))
    ungrouped = cross_validate(config, dev, 3, 1, seed=0, execute=Peeking(dev), grouped=False)
    interval = EvaluateParams(n_bootstrap=20, confidence=0.9)
    summary = summarise(grouped, ungrouped, dev, interval, seed=0)
    aucs = [row["auc"] for row in grouped.fold_scores]
    assert summary["auc"] == {"mean": np.mean(aucs), "sd": np.std(aucs, ddof=1)}
    assert set(summary["accuracy"]) == set(summary["ungrouped"]["auc"]) == {"mean", "sd"}
    own = [roc_auc_score(dev.malignant, logits) for logits in grouped.logits]
    assert summary["pooled"]["single_auc"] == pytest.approx(np.mean(own))
    pooled = roc_auc_score(dev.malignant, grouped.logits.mean(axis=0))
    assert summary["pooled"]["auc"] == pytest.approx(pooled)
    assert summary["ungrouped_minus_grouped"].keys() == {"auc", "auc_low", "auc_high"}
    leak = roc_auc_score(dev.malignant, ungrouped.logits[0]) - own[0]
    assert summary["ungrouped_minus_grouped"]["auc"] == pytest.approx(leak)
    assert leak > 0
    columns, rows = fold_rows(grouped, ungrouped)
    assert columns[:2] == ["fold", "auc"]
    assert [row[0] for row in rows][:4] == [
        "grouped 1.1",
        "grouped 1.2",
        "grouped 1.3",
        "grouped 2.1",
    ]
    assert rows[-1][0] == "ungrouped 1.3"
    assert all(len(row) == len(columns) for row in rows)
