"""Runs that take moments, and what carries them out on a cluster."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Arithmetic
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.runs.run import Run
from breast_ultrasound.search.fold_runs import run_on
from tests.runs.clusters import Processes, cluster, content

MakeExecutor = Callable[..., Executor]
Content = dict[str, dict[str, bytes]]


@pytest.fixture
def runs(config: TrainingConfig, dev: ImageSet) -> list[Run]:
    folds = make_folds(dev.malignant, dev.group, 3, seed=0)
    return [replace(run_on(config, fold), keep_weights=True) for fold in folds]


@pytest.fixture
def longer(runs: list[Run], config: TrainingConfig) -> list[Run]:
    """Those, and as many that take some seconds."""
    training = config.training.model_copy(update={"n_epochs": 40})
    long = config.model_copy(update={"training": training})
    return [*runs, *(replace(run, config=long) for run in runs)]


@pytest.fixture
def trained_here(executor: MakeExecutor, longer: list[Run]) -> Content:
    """What this machine caches of the longer ones."""
    here = executor(2)
    here(longer, "here")
    return content(here)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with cluster(tmp_path_factory.mktemp("cluster"), n_workers=2) as processes:
        yield processes


@pytest.fixture
def on(executor: MakeExecutor, tmp_path: Path) -> Iterator[MakeExecutor]:
    """What carries out runs on a cluster, and keeps them in a cache of its own."""
    clients = []

    def make(address: str, arithmetic: Arithmetic = "portable", cache: str = "cluster") -> Executor:
        resources = find_resources("cpu", arithmetic, 0, tmp_path / cache, address)
        assert resources.cluster
        clients.append(resources.cluster.client)
        return executor(resources=resources, arithmetic=arithmetic)

    yield make
    for client in clients:
        if client.status == "running":
            client.close(timeout=5)
