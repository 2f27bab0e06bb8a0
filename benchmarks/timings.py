"""How long the pipeline takes beside the official recipe, in one run on one machine.

    python -m benchmarks.timings [--epochs 3]

The pipeline runs from nothing, with an empty cache, in a temporary copy. The official MedMNIST
recipe trains a few epochs as its users run it (native fp32, all cores, its evaluations included)
and is extrapolated to its 100. Only ratios carry over to other machines. Run after `dvc repro`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from breast_ultrasound.data.image_set import SPLITS, ImageSet
from breast_ultrasound.model.official_recipe import (
    N_EPOCHS,
    as_tensors,
    official_network,
    score,
    train_one_epoch,
)
from breast_ultrasound.model.training import TrainingConfig, TrainingSet, fit, read_config
from breast_ultrasound.params import Arithmetic
from breast_ultrasound.runs.execute import Executor, make_executor
from breast_ultrasound.search.final_models import final_runs
from tools.workspace import ROOT, copy_with_data

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))
N_TIMES = 5  # trainings of each arithmetic, in turn


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the recipe to time")
    n_epochs = parser.parse_args().epochs
    print("| what | here |\n| --- | --- |", flush=True)
    for row in time_rows(n_epochs):
        print(f"| {' | '.join(row)} |", flush=True)


def time_rows(n_epochs: int) -> Iterator[tuple[str, str]]:
    """Yield the times: what, and the value."""
    with tempfile.TemporaryDirectory(prefix="breast-ultrasound-bench-") as temporary:
        folder, env = copy_with_data(Path(temporary))
        pipeline = seconds(lambda: call(["dvc", "repro"], folder, env))
        yield "`dvc repro` from nothing", f"{pipeline:.0f} s"
        again = seconds(lambda: call(["dvc", "repro"], folder, env))
        yield "`dvc repro` again", f"{again:.1f} s"
        slowest = max(help_seconds(stage, folder, env) for stage in STAGES)
        yield "`python -m stages.… --help`, the slowest", f"{slowest:.2f} s"
        recipe = time_official(folder, n_epochs) / n_epochs * N_EPOCHS
        yield f"official recipe, {N_EPOCHS} epochs, from {n_epochs}", f"{recipe:.0f} s"
        yield "`dvc repro` / official recipe", f"{pipeline / recipe:.2f}"
        portable, native = arithmetics(folder, Path(temporary))
        words = f"a training in portable / in fp32 arithmetic, median of {N_TIMES}"
        yield words, f"{portable / native:.2f}"
        yield "share of a training in convolutions, fp32", f"{convolutions(folder):.0%}"


def arithmetics(folder: Path, caches: Path) -> tuple[float, float]:
    """Return the median seconds of a training in portable and in fp32 arithmetic, in turn."""
    times: dict[Arithmetic, list[float]] = {"portable": [], "fp32": []}
    for turn in range(N_TIMES):
        for arithmetic, taken in times.items():
            cache = caches / f"{arithmetic}{turn}"
            taken.append(time_training(folder, cache, arithmetic))
    return statistics.median(times["portable"]), statistics.median(times["fp32"])


def time_training(folder: Path, cache: Path, arithmetic: Arithmetic) -> float:
    """Return the seconds that one network of the final model takes, with an empty cache.

    A first training of one epoch starts the process, which is not counted.
    """
    execute, config = executor(folder, cache, arithmetic)
    everything = np.arange(len(execute.images))
    brief = config.model_copy(
        update={"training": config.training.model_copy(update={"n_epochs": 1})}
    )
    execute(final_runs(brief, everything, 1, seed=1), "warming up")
    runs = final_runs(config, everything, 1, seed=0)
    return seconds(lambda: execute(runs, arithmetic))


def convolutions(folder: Path) -> float:
    """Return the share of the time of two epochs that convolutions take, both ways."""
    execute, config = executor(folder, folder, "fp32")
    training = config.training.model_copy(update={"n_epochs": 2})
    short = config.model_copy(update={"training": training})
    with torch.profiler.profile() as profile:
        everything = np.arange(len(execute.images))
        fit(short, TrainingSet(execute.images, execute.malignant, everything), 0)
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    in_convolutions = sum(time for name, time in times.items() if "conv" in name.lower())
    return float(in_convolutions / sum(times.values()))


def executor(folder: Path, cache: Path, arithmetic: Arithmetic) -> tuple[Executor, TrainingConfig]:
    """Return an executor for dev with one worker, and the chosen configuration."""
    dev = ImageSet.load(folder / "data/processed/dev.npz")
    chosen = read_config(folder / "data/chosen.json")
    training = chosen.training.model_copy(update={"arithmetic": arithmetic})
    more = ImageSet.load(folder / "data/processed/also_train.npz", may_be_empty=True)
    execute = make_executor(dev, more, arithmetic, "cpu", 1, cache)
    return execute, chosen.model_copy(update={"training": training})


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
    parts = [dev.subset(dev.split == name) for name in SPLITS[:2]] + [test]
    tensors = [as_tensors(part.images, part.malignant) for part in parts]
    network = official_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    train_one_epoch(network, optimizer, *tensors[1])  # warms up on the small val split

    def epochs() -> None:
        for _ in range(n_epochs):
            train_one_epoch(network, optimizer, *tensors[0])
            for images, _ in tensors:
                score(network, images)

    return seconds(epochs)


if __name__ == "__main__":
    main()
