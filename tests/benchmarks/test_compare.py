from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks.compare import change
from breast_ultrasound.model.training import TrainingConfig


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
