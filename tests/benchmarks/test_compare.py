from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.compare import change, standard_error
from breast_ultrasound.model.training import TrainingConfig


@pytest.mark.parametrize(
    ("values", "n_splits", "expected"),
    [
        # Variance 1; 1/3 + 1/2.
        ([1.0, 2.0, 3.0], 3, (5 / 6) ** 0.5),
        # Variance 4/3; 1/4 + 1: two repeats of two folds.
        ([0.0, 2.0, 0.0, 2.0], 2, (4 / 3 * 5 / 4) ** 0.5),
        # Variance 0.001; 1/5 + 1/4.
        ([0.86, 0.88, 0.90, 0.92, 0.94], 5, 0.00045**0.5),
        ([0.9, 0.9, 0.9], 3, 0.0),
    ],
)
def test_the_standard_error_is_nadeaus_and_bengios(
    values: list[float], n_splits: int, expected: float
) -> None:
    assert standard_error(np.array(values), n_splits) == pytest.approx(expected, abs=1e-12)


def test_more_repeats_do_not_make_the_standard_error_small() -> None:
    """Folds share images: at five splits no less than half the standard deviation is left."""
    fold_auc = np.random.default_rng(0).normal(size=5000)
    assert standard_error(fold_auc, 5) / fold_auc.std() == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("", {}),
        ("lr=0.002", {"lr": 0.002}),
        ("training.n_epochs=60,lr=0.001", {"training": {"n_epochs": 60}, "lr": 0.001}),
        ("model.blocks=[2,2,2,2]", {"model": {"blocks": [2, 2, 2, 2]}}),
        (
            "model.blocks=[1,0,2,1],model.width=32,training.loss=focal",
            {"model": {"blocks": [1, 0, 2, 1], "width": 32}, "training": {"loss": "focal"}},
        ),
        ("test_time_augmentation=false", {"test_time_augmentation": False}),
    ],
)
def test_a_change_changes_what_it_names_and_nothing_else(
    config: TrainingConfig, changes: str, expected: dict[str, Any]
) -> None:
    content = config.model_dump()
    for name, value in expected.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    before = config.model_dump()
    assert change(config, changes).model_dump() == content
    assert config.model_dump() == before


@pytest.mark.parametrize(
    "changes",
    [
        "speed=3",
        "training.speed=3",
        "lr",
        "lr=fast",
        "lr=.nan",
        "training.n_epochs=0",
        "model.blocks=[2,2]",
    ],
)
def test_a_wrong_change_is_an_error(config: TrainingConfig, changes: str) -> None:
    with pytest.raises(ValidationError):
        change(config, changes)


@pytest.mark.parametrize("changes", ["optimizer.lr=3", "model.blocks.first=3"])
def test_a_section_that_is_not_there_is_an_error(config: TrainingConfig, changes: str) -> None:
    with pytest.raises((KeyError, ValidationError)):
        change(config, changes)
