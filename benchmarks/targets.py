"""What the project has set itself, beside what it reaches: one table, timed in one run.

    python -m benchmarks.targets [--epochs 3]

Scores are the committed metrics, and the official MedMNIST recipe's on the same folds
(trained now, for over an hour, unless it was before). The pipeline runs from nothing, with an
empty cache, in a temporary copy. The recipe trains a few epochs, evaluations included, and is
extrapolated to its 100. Only ratios carry over to other machines. Run after `dvc repro`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torchvision.models import resnet18

from benchmarks.folds import load_dev
from benchmarks.official_recipe import (
    N_EPOCHS,
    as_tensors,
    official_network,
    official_on_folds,
    score,
    train_one_epoch,
)
from breast_ultrasound.data.dataset import SPLITS, ImageSet
from breast_ultrasound.model.training import TrainingConfig, fit, read_config
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.search.cross_validation import single_auc
from breast_ultrasound.search.final_models import final_runs
from tools.tables import aim_rows, read_workspace
from tools.workspace import ROOT, copy_with_data

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the recipe to time")
    n_epochs = parser.parse_args().epochs
    print(
        "| what | here | aim |\n| --- | --- | --- |",
        *aim_rows(read_workspace),
        sep="\n",
        flush=True,
    )
    for row in chain(official_rows(), time_rows(n_epochs)):
        print(f"| {' | '.join(row)} |", flush=True)


def official_rows() -> Iterator[tuple[str, str, str]]:
    """Yield what the official recipe scores on the same folds."""
    dev = load_dev()
    value = single_auc(official_on_folds(dev).logits, dev.malignant)
    what = f"dev, AUC of the official recipe, {N_EPOCHS} epochs, one repeat of the same folds"
    yield what, f"{value:.3f}", ""


def time_rows(n_epochs: int) -> Iterator[tuple[str, str, str]]:
    """Yield the times: what, the value and the aim, if there is one."""
    with tempfile.TemporaryDirectory(prefix="breast-ultrasound-bench-") as temporary:
        folder, env = copy_with_data(Path(temporary))
        pipeline = seconds(lambda: call(["dvc", "repro"], folder, env))
        yield "`dvc repro` from nothing", f"{pipeline:.0f} s", "480 s"
        again = seconds(lambda: call(["dvc", "repro"], folder, env))
        yield "`dvc repro` again", f"{again:.1f} s", ""
        slowest = max(help_seconds(stage, folder, env) for stage in STAGES)
        yield "`python -m stages.… --help`, the slowest", f"{slowest:.2f} s", ""
        recipe = time_official(folder, n_epochs) / n_epochs * N_EPOCHS
        yield f"official recipe, {N_EPOCHS} epochs, from {n_epochs}", f"{recipe:.0f} s", ""
        yield "official recipe / `dvc repro`", f"{recipe / pipeline:.2f}", "2"
        one = time_trainings(folder, Path(temporary) / "one", n_workers=1, n_runs=1)
        yield "official recipe / one network of the final model", f"{recipe / one:.0f}", "20"
        gain = second_worker(folder, Path(temporary))
        yield "speed-up of eight trainings by a second worker", f"{gain:.2f}", "1.8"
        yield "share of a training in convolutions", f"{convolutions(folder):.0%}", "90%"


def time_trainings(folder: Path, cache: Path, n_workers: int, n_runs: int) -> float:
    """Return the seconds that networks of the final model take, with an empty cache."""
    execute, config = executor(folder, cache, n_workers)
    runs = final_runs(config, np.arange(len(execute.images)), n_runs, seed=0)
    return seconds(lambda: execute(runs, f"workers: {n_workers}"))


def second_worker(folder: Path, caches: Path) -> float:
    """Return how much sooner two workers have trained eight networks than one.

    Of two times each, in turn, the shorter: a busy machine takes a core away now and then.
    """
    times: dict[int, list[float]] = {1: [], 2: []}
    for turn in "ab":
        for n_workers, taken in times.items():
            cache = caches / f"{n_workers}{turn}"
            taken.append(time_trainings(folder, cache, n_workers, n_runs=8))
    return min(times[1]) / min(times[2])


def convolutions(folder: Path) -> float:
    """Return the share of the time of two epochs that convolutions take, both ways."""
    execute, config = executor(folder, folder, n_workers=1)
    training = config.training.model_copy(update={"n_epochs": 2})
    short = config.model_copy(update={"training": training})
    hardware = execute.resources.hardware
    with torch.profiler.profile() as profile:
        fit(short, execute.images, execute.malignant, 0, hardware)
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    in_convolutions = sum(time for name, time in times.items() if "conv" in name.lower())
    return float(in_convolutions / sum(times.values()))


def executor(folder: Path, cache: Path, n_workers: int) -> tuple[Executor, TrainingConfig]:
    """Return an executor for dev with a cache of its own, and the chosen configuration."""
    dev = ImageSet.load(folder / "data/processed/dev.npz")
    resources = find_resources("auto", n_workers, cache)
    config = read_config(folder / "data/chosen.json")
    return Executor(dev.images, dev.malignant, resources), config


def help_seconds(stage: str, folder: Path, env: dict[str, str]) -> float:
    """Return how long a stage takes to explain itself, the best of three."""
    command = [sys.executable, "-m", f"stages.{stage}", "--help"]
    return min(seconds(lambda: call(command, folder, env)) for _ in range(3))


def call(command: list[str], folder: Path, env: dict[str, str]) -> None:
    """Run a command in silence; stop when it fails."""
    done = subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def seconds(action: Callable[[], object]) -> float:
    """Return how long `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def time_official(folder: Path, n_epochs: int) -> float:
    """Return the seconds of `n_epochs` of the recipe on all cores.

    Train, val and test are scored after each epoch. The scores are thrown away: only the time is
    wanted.
    """
    dev, test = (ImageSet.load(folder / f"data/processed/{name}.npz") for name in ("dev", "test"))
    parts = [dev.subset(dev.split == i) for i in range(len(SPLITS) - 1)] + [test]
    tensors = [as_tensors(part) for part in parts]
    network = official_network(resnet18)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    train_one_epoch(network, optimizer, *tensors[1])  # warms up on the small val part

    def epochs() -> None:
        for _ in range(n_epochs):
            train_one_epoch(network, optimizer, *tensors[0])
            for images, _ in tensors:
                score(network, images)

    return seconds(epochs)


if __name__ == "__main__":
    main()
