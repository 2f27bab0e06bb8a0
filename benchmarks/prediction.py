"""How many images a second `breast-ultrasound predict` takes from an npz file, and in what memory.

    python -m benchmarks.prediction

Made-up images of 28 pixels; the final model as it is, and one network of it without views. Each row
is a process of its own, start and reading included. Memory is its largest resident set. Run after
`dvc repro`; Linux.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tools.workspace import ROOT

SIDE = 28


def main() -> None:
    """Print a table in Markdown."""
    print("| model | images | seconds | images a second | peak memory, MB |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        final, single = ROOT / "models/final", _single(folder / "single")
        for words, model, n_images in (
            ("one network, one view", single, 10_000),
            ("one network, one view", single, 100_000),
            ("the ensemble", final, 1_000),
            ("the ensemble", final, 4_000),
        ):
            seconds, memory = _predict(model, n_images, folder)
            rate = n_images / seconds
            print(
                f"| {words} | {n_images} | {seconds:.1f} | {rate:.0f} | {memory:.0f} |", flush=True
            )


def _single(folder: Path) -> Path:
    """Write the first network of the final model as a model without views."""
    shutil.copytree(ROOT / "models/final", folder)
    card = json.loads((folder / "model.json").read_text())
    card["seeds"] = card["seeds"][:1]
    card["config"]["test_time_augmentation"] = False
    (folder / "model.json").write_text(json.dumps(card))
    return folder


def _predict(model: Path, n_images: int, folder: Path) -> tuple[float, float]:
    """Return the seconds and the peak memory in MB of predicting made-up images."""
    file = folder / "images.npz"
    rng = np.random.default_rng(0)
    np.savez(file, images=rng.integers(0, 256, (n_images, SIDE, SIDE), dtype=np.uint8))
    command = [str(Path(sys.executable).with_name("breast-ultrasound")), "predict", str(file)]
    start = time.perf_counter()
    with (folder / "out.jsonl").open("w") as out:
        process = subprocess.Popen(
            [*command, "--model", str(model), "--format", "jsonl"], stdout=out, cwd=ROOT
        )
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"predict ended with {status}")
    return seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
