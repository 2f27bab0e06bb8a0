"""How time and memory of a training grow with the number of images, and time with their pixels.

    python -m benchmarks.training_scaling [--images 10000 | --side 64]

Made-up images. First 64 pixels a side, two trainings of one epoch side by side, through the
Executor as stages use it. Each number of images runs in a process of its own. Memory is the
largest sum, over its processes, of what each holds for itself and its share of what is mapped
(PSS); Linux. Then one training of the configuration that the study `resolution` has at each size,
on as many images as four of five folds of dev have, one thread, a few epochs extrapolated to all.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from breast_ultrasound.model.arithmetic import limit_process
from breast_ultrasound.model.training import TrainingSet, fit, read_config
from breast_ultrasound.params import load_params
from breast_ultrasound.runs.cache import RunCache
from breast_ultrasound.runs.execute import Executor, Resources
from breast_ultrasound.runs.run import Run
from breast_ultrasound.search.fold_runs import start_config
from breast_ultrasound.search.resolution import STEMS
from tools.workspace import ROOT

NUMBERS = (1_000, 10_000, 100_000)
SIDE = 64  # pixels
N_DEV = 499  # images of four of five folds of dev
N_EPOCHS = 8  # timed, of a training


def measure(n_images: int, folder: Path) -> None:
    """Train on one size, and print a row."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, SIDE, SIDE), dtype=np.uint8)
    malignant = rng.random(n_images) < 0.3
    config = start_config(load_params(ROOT / "params.yaml"), lr=0.001)
    model = config.model.model_copy(update={"stem": "imagenet", "width": 8})
    training = config.training.model_copy(update={"n_epochs": 1})
    config = config.model_copy(update={"model": model, "training": training})
    runs = [Run(config, seed, np.arange(n_images), np.arange(10)) for seed in (0, 1)]
    execute = Executor(images, malignant, Resources("cpu", 2, RunCache(folder)), "portable")
    peak, over = [0], threading.Event()
    watch = threading.Thread(target=_watch, args=(peak, over))
    watch.start()
    start = time.perf_counter()
    execute(runs, f"{n_images} images")
    seconds = time.perf_counter() - start
    over.set()
    watch.join()
    print(f"| {n_images} | {seconds:.1f} | {peak[0] / 1e6:.2f} |", flush=True)


def _watch(peak: list[int], over: threading.Event) -> None:
    while not over.wait(0.2):
        peak[0] = max(peak[0], sum(_kilobytes(pid) for pid in _family(os.getpid())))


def _family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    family = [pid]
    for parent in family:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                family += map(int, task.read_text().split())
            except OSError:  # it has ended
                continue
    return family


def _kilobytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def measure_side(side: int) -> None:
    """Train on images of one size for a few epochs, and print a row."""
    limit_process("portable", "cpu")
    images = np.random.default_rng(0).integers(0, 256, (N_DEV, side, side), dtype=np.uint8)
    malignant = np.arange(N_DEV) % 4 == 0
    config = read_config(ROOT / "data/chosen.json")
    model = config.model.model_copy(update={"stem": STEMS[side]})
    data = TrainingSet(images, malignant, np.arange(N_DEV))
    for n_epochs in (1, N_EPOCHS):  # the first warms up
        training = config.training.model_copy(update={"n_epochs": n_epochs})
        start = time.perf_counter()
        fit(config.model_copy(update={"model": model, "training": training}), data, seed=0)
        seconds = time.perf_counter() - start
    whole = seconds / N_EPOCHS * config.training.n_epochs
    print(f"| {side} | {STEMS[side]} | {whole:.0f} |", flush=True)


def main() -> None:
    """Measure every number of images and every size, as tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, help="so many only, in this process")
    parser.add_argument("--side", type=int, help="pixels: this size only, in this process")
    asked = parser.parse_args()
    if asked.images is not None:
        with tempfile.TemporaryDirectory() as folder:
            measure(asked.images, Path(folder))
        return
    if asked.side is not None:
        measure_side(asked.side)
        return
    print("| images | seconds of an epoch | peak memory, GB |\n| --- | --- | --- |", flush=True)
    for n_images in NUMBERS:
        _measure_alone("--images", n_images)
    print("\n| pixels | stem | seconds of a training |\n| --- | --- | --- |", flush=True)
    for side in STEMS:
        _measure_alone("--side", side)


def _measure_alone(option: str, value: int) -> None:
    command = [sys.executable, "-m", "benchmarks.training_scaling", option, str(value)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
