"""How the time of the pipeline's trainings falls as a cluster gets workers, and where it stops.

    python -m benchmarks.cluster_scaling [--seconds 1] [--workers 1 8 64]

The rounds of trainings are those of the last run (plots/). A training is simulated: it sleeps for a
known time, in proportion to its epochs, and returns scores of the right size; all else is the real
thing, `Executor` and Dask's processes over TCP on the loopback interface. The overhead of a run is
measured first, with runs that take no time.

The model: a round of n runs of t seconds takes ceil(n / workers) × t, and n × overhead.
"""

import argparse
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from breast_ultrasound.model.arithmetic import Device
from breast_ultrasound.params import Params, load_params
from breast_ultrasound.runs import cluster as on_workers
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.fold_runs import start_config
from tests.runs.clusters import cluster
from tools.tables import csv_rows, read_workspace
from tools.workspace import ROOT

N_DEV = 624  # images of dev
MODELLED = (1, 8, 64, 512)  # workers
N_EMPTY = 200  # runs that take no time
SECONDS_BY_PIXELS = {28: 21, 224: 253}  # of a training, by benchmarks.training_scaling


@dataclass(frozen=True)
class Round:
    """Runs that are asked for at once.

    Attributes:
        share: of a full training's time that each takes.
    """

    n_runs: int
    share: float = 1.0

    def seconds(self, n_workers: int, training: float, overhead: float) -> float:
        """Return what the model says, of full trainings of some seconds."""
        return math.ceil(self.n_runs / n_workers) * self.share * training + self.n_runs * overhead


def rounds(params: Params) -> list[Round]:
    """Return the rounds of the last run of the pipeline, in order."""
    trials = csv_rows(read_workspace, "tune_lr.csv")
    size = params.tune_lr.round_size
    found = []
    for first in range(0, len(trials), size):
        folds = [int(trial["n_folds"]) for trial in trials[first : first + size]]
        found += [Round(sum(n > fold for n in folds)) for fold in range(max(folds))]
    ranking = csv_rows(read_workspace, "grid_search.csv")
    share = params.grid_search.first_epochs / params.training.n_epochs
    found.append(Round(len(ranking), share))
    longest = max(int(row["n_epochs"]) for row in ranking)
    beyond = Counter(int(row["n_folds"]) for row in ranking if int(row["n_epochs"]) == longest)
    found.append(Round(2 * beyond.total()))
    last = params.grid_search.n_folds
    found.append(Round(beyond[last] * (last - 2)))
    found.append(Round(len(csv_rows(read_workspace, "fold_scores.csv"))))
    found.append(Round(params.final.n_seeds + 1))
    return found


def simulated(run: Run, _: str, __: Device) -> RunResult:
    """Sleep as long as the run's learning rate says, and return scores of the right size."""
    time.sleep(run.config.lr)
    n_epochs = run.config.training.n_epochs
    return RunResult(np.zeros(len(run.score), np.float32), np.zeros(n_epochs), np.zeros(0))


@contextmanager
def workers(n_workers: int) -> Iterator[str]:
    """Start a scheduler and worker processes; yield the scheduler's address once all are there."""
    from distributed import Client

    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder), 0) as processes:
        processes.worker("w", "--nanny", "--nworkers", str(n_workers))
        with Client(processes.address, set_as_default=False) as client:
            client.wait_for_workers(n_workers, timeout=600)
        yield processes.address


def measure(address: str, asked: list[Round], training: float) -> float:
    """Return the seconds that rounds of simulated trainings take."""
    params = load_params(ROOT / "params.yaml")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N_DEV, 28, 28), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        resources = find_resources("cpu", params.training.arithmetic, 0, Path(folder), address)
        malignant = rng.random(N_DEV) < 0.3
        execute = Executor(images, malignant, resources, params.training.arithmetic)
        train, score = np.arange(N_DEV * 4 // 5), np.arange(N_DEV * 4 // 5, N_DEV)
        start = time.perf_counter()
        for number, one in enumerate(asked):
            # Another seed, another run: nothing is in the cache.
            config = start_config(params, lr=one.share * training)
            seeds = range(number * 10_000, number * 10_000 + one.n_runs)
            execute([Run(config, seed, train, score) for seed in seeds], f"round {number + 1}")
        seconds = time.perf_counter() - start
        if resources.cluster:
            resources.cluster.client.close()
    return seconds


def main() -> None:
    """Print two tables: measured beside the model, and the model of whole trainings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a simulated training")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 8, 64])
    arguments = parser.parse_args()
    asked = rounds(load_params(ROOT / "params.yaml"))
    mock.patch.object(on_workers, "train_kept", simulated).start()  # what workers are sent
    n_runs = sum(one.n_runs for one in asked)
    print(f"{n_runs} trainings in {len(asked)} rounds: {[one.n_runs for one in asked]}")
    with workers(1) as address:
        overhead = measure(address, [Round(N_EMPTY)], 0.0) / N_EMPTY
    print(f"overhead of a run: {1000 * overhead:.1f} ms", flush=True)
    print("| workers | measured, s | model, s |\n| --- | --- | --- |")
    for n_workers in arguments.workers:
        with workers(n_workers) as address:
            seconds = measure(address, asked, arguments.seconds)
        said = sum(one.seconds(n_workers, arguments.seconds, overhead) for one in asked)
        print(f"| {n_workers} | {seconds:.1f} | {said:.1f} |", flush=True)
    for pixels, training in SECONDS_BY_PIXELS.items():
        row = [sum(o.seconds(n, training, overhead) for o in asked) / 60 for n in MODELLED]
        print(f"{pixels} pixels, minutes by {MODELLED}: {', '.join(f'{m:.1f}' for m in row)}")


if __name__ == "__main__":
    main()
