from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breast_ultrasound.data.dataset import ImageSet
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


def test_both_arms_are_the_same_but_for_augmentation(
    config: TrainingConfig,
    dev_test: tuple[ImageSet, ImageSet],
    tiny_params: Params,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dev, test = dev_test
    plain = config.model_copy(update={"augment": NO_AUGMENTATION})
    with_ = (rng.normal(size=(2, len(dev))) + 2 * dev.malignant).astype(np.float32)
    arms: list[TrainingConfig] = []

    class Guessing:
        trained_on = "here"

        def __init__(self, *_: object) -> None:
            pass

        def __call__(self, runs: Sequence[Run], label: str) -> list[RunResult]:
            assert all(run.config == plain for run in runs)
            assert len(runs) == 2 * tiny_params.folds.n_splits
            guesses = [np.random.default_rng(run.seed).normal(size=len(run.score)) for run in runs]
            return [RunResult(g.astype("f4"), np.ones(1), np.zeros(0)) for g in guesses]

    def on_test(arm: TrainingConfig, learned: np.ndarray, *_: Any) -> np.ndarray:
        arms.append(arm)
        assert np.array_equal(learned, np.arange(len(dev)))
        signal = test.malignant if arm == config else ~test.malignant
        return signal[None].astype(np.float32)

    monkeypatch.setattr(augmentation, "Executor", Guessing)
    monkeypatch.setattr(augmentation, "logits_on_test", on_test)
    resources = Resources("cpu", 1, RunCache(tmp_path))
    rows, trained_on = effects_of_augmentation(config, dev, test, with_, tiny_params, resources)
    assert arms == [plain, config]
    assert trained_on == "here"
    assert list(rows) == ["folds", *subsets_of(test)]
    assert rows["folds"]["with"] == single_auc(with_, dev.malignant)
    for name, row in rows.items():
        assert row["auc"] == pytest.approx(row["with"] - row["without"])
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
        if name != "folds":
            assert (row["without"], row["with"]) == (0, 1)
    figures.augmentation(rows, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
