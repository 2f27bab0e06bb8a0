"""What all tests share."""
# ruff: noqa: E402
# Torch reads the limits of its arithmetic at its first operation and never again, so they come
# before it is imported. What tests compute in this process then has the digits of the processes
# that train, on every machine.

from breast_ultrasound.model.arithmetic import apply_limits, limits

apply_limits(limits("portable"))

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breast_ultrasound.data.dev_and_test import prepare
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.official import read_official
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.data.pictures import TRANSFORM
from breast_ultrasound.files import write_arrays
from breast_ultrasound.model.artifact import ModelCard
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params
from breast_ultrasound.runs.cache import RunCache
from breast_ultrasound.runs.execute import Executor, Resources
from breast_ultrasound.runs.run import digest_of
from tools.workspace import TINY, merged, shipped_params


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first: started last, they would leave a core waiting."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts)


@pytest.fixture(scope="session")
def tiny_params() -> Params:
    return Params.model_validate(merged(shipped_params(), TINY))


@pytest.fixture(scope="session")
def config(tiny_params: Params) -> TrainingConfig:
    """A configuration that trains in a second."""
    return TrainingConfig(
        lr=0.01,
        model=tiny_params.model,
        training=tiny_params.training,
        augment=tiny_params.augment,
        test_time_augmentation=True,
        recalibrate_batch_norm=True,
    )


@pytest.fixture(scope="session")
def card(config: TrainingConfig, dev: ImageSet) -> ModelCard:
    """Of a model of two networks, with a calibration that no default has."""
    return ModelCard(
        config=config,
        image_size=28,
        operating_points={"half": 0.5, "sensitivity_90": 0.25},
        transform=TRANSFORM,
        near_duplicate_correlation=0.95,
        unlike_below=0.5,
        seeds=[0, 1],
        temperature=3.0,
        offset=-1.0,
        data=digest_of({"images": dev.images, "malignant": dev.malignant}),
        versions={},
        trained_on="",
        scores={},
    )


@pytest.fixture(scope="session")
def phantom_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantoms") / "breastmnist.npz"
    write_arrays(path, make_phantoms(120, seed=0))
    return path


@pytest.fixture(scope="session")
def nothing_more() -> ImageSet:
    """What there is to learn from besides, as shipped."""
    return ImageSet.of(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.bool_))


@pytest.fixture(scope="session")
def dev_test(
    phantom_file: Path, nothing_more: ImageSet, tiny_params: Params
) -> tuple[ImageSet, ImageSet]:
    prepared = prepare(read_official(phantom_file), nothing_more, tiny_params)
    return prepared.dev, prepared.test


@pytest.fixture(scope="session")
def dev(dev_test: tuple[ImageSet, ImageSet]) -> ImageSet:
    return dev_test[0]


@pytest.fixture
def executor(dev: ImageSet, tmp_path: Path) -> Callable[..., Executor]:
    def make(n_workers: int = 1, **changes: Any) -> Executor:
        values: dict[str, Any] = {
            "images": dev.images,
            "malignant": dev.malignant,
            "resources": Resources("cpu", n_workers, RunCache(tmp_path / "cache")),
            "arithmetic": "portable",
        }
        return Executor(**{**values, **changes})

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
