from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation import figures
from breast_ultrasound.evaluation.model_scores import subsets_of
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import NO_AUGMENTATION, Params
from breast_ultrasound.runs.cache import RunCache
from breast_ultrasound.runs.execute import Resources
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search import augmentation
from breast_ultrasound.search.augmentation import effects_of_augmentation
from breast_ultrasound.search.cross_validation import single_auc


@dataclass
class Guessing:
    """Scores at random; keeps the runs that it is asked for."""

    runs: list[Run] = field(default_factory=list)
    trained_on: str = "here"

    def __call__(self, runs: Sequence[Run], label: str) -> list[RunResult]:
        self.runs += runs
        guesses = [np.random.default_rng(run.seed).normal(size=len(run.score)) for run in runs]
        return [RunResult(g.astype("f4"), np.ones(1), np.zeros(0)) for g in guesses]


def test_both_arms_are_the_same_but_for_augmentation(
    config: TrainingConfig,
    dev_test: tuple[ImageSet, ImageSet],
    nothing_more: ImageSet,
    tiny_params: Params,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dev, test = dev_test
    plain = config.model_copy(update={"augment": NO_AUGMENTATION})
    with_ = (rng.normal(size=(2, len(dev))) + 2 * dev.malignant).astype(np.float32)
    arms: list[TrainingConfig] = []

    def on_test(arm: TrainingConfig, learned: np.ndarray, *_: Any) -> np.ndarray:
        arms.append(arm)
        assert np.array_equal(learned, np.arange(len(dev)))
        signal = test.malignant if arm == config else ~test.malignant
        return signal[None].astype(np.float32)

    execute = Guessing()
    monkeypatch.setattr(augmentation, "Executor", lambda *_: execute)
    monkeypatch.setattr(augmentation, "logits_on_test", on_test)
    resources = Resources("cpu", 1, RunCache(tmp_path))
    rows, trained_on = effects_of_augmentation(
        config, dev, test, nothing_more, with_, tiny_params, resources
    )
    assert all(run.config == plain for run in execute.runs)
    assert len(execute.runs) == 2 * tiny_params.folds.n_splits
    assert arms == [plain, config]
    assert trained_on == execute.trained_on
    assert list(rows) == ["folds", *subsets_of(test)]
    assert rows["folds"]["with"] == single_auc(with_, dev.malignant)
    for subset in subsets_of(test):
        assert (rows[subset]["without"], rows[subset]["with"]) == (0, 1)
    _check_differences(rows, tmp_path / "a.png")


def _check_differences(rows: dict[str, dict[str, float]], figure: Path) -> None:
    for row in rows.values():
        assert row["auc"] == pytest.approx(row["with"] - row["without"])
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
    figures.augmentation(rows, figure)
    assert figure.stat().st_size > 1000
