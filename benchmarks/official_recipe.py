"""The whole pipeline beside the official MedMNIST recipe, timed in one run on one machine.

The pipeline runs from nothing, with an empty store, in a temporary copy. The recipe trains a few
epochs, evaluations included, and is extrapolated to its 100. Only ratios carry over to other
machines.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from breast_ultrasound.data.dataset import SPLITS, ImageSet
from breast_ultrasound.params import load_params
from tests.workspace import ROOT, copy_project, environment

OFFICIAL_EPOCHS = 100
BATCH = 128
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))


def main() -> None:
    """Time everything, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the recipe to time")
    n_epochs = parser.parse_args().epochs
    with tempfile.TemporaryDirectory(prefix="breast-ultrasound-bench-") as temporary:
        folder, env = prepare(Path(temporary))
        pipeline = seconds(lambda: call(["dvc", "repro"], folder, env))
        again = seconds(lambda: call(["dvc", "repro"], folder, env))
        helps = [help_seconds(stage, folder, env) for stage in STAGES]
        official = time_official(folder, n_epochs) / n_epochs * OFFICIAL_EPOCHS
    print(f"{'dvc repro from nothing':48}{pipeline:8.1f} s")
    print(f"{'dvc repro again':48}{again:8.1f} s")
    print(f"{'python -m stages.<name> --help, slowest of 8':48}{max(helps):8.2f} s")
    print(f"{f'official recipe, {OFFICIAL_EPOCHS} epochs from {n_epochs}':48}{official:8.1f} s")
    print(f"{'official recipe / dvc repro':48}{official / pipeline:8.2f}")


def prepare(temporary: Path, *changes: dict[str, Any]) -> tuple[Path, dict[str, str]]:
    """Copy the project, without git; what the search path finds from here is found there too."""
    folder = copy_project(temporary / "project", *changes)
    (folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    for place in load_params(ROOT / "params.yaml").data.search_path:
        source = (ROOT / Path(place).expanduser()).resolve()
        if source.is_dir() and not Path(place).expanduser().is_absolute():
            shutil.copytree(source, (folder / place).resolve(), dirs_exist_ok=True)
    return folder, environment(temporary / "cache")


def help_seconds(stage: str, folder: Path, env: dict[str, str]) -> float:
    """Return how long a stage takes to explain itself, the best of three."""
    command = [sys.executable, "-m", f"stages.{stage}", "--help"]
    return min(seconds(lambda: call(command, folder, env)) for _ in range(3))


def call(command: list[str], folder: Path, env: dict[str, str]) -> None:
    """Run a command in silence; stop when it fails."""
    done = subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def seconds(action: Callable[[], None]) -> float:
    """Return how long `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def time_official(folder: Path, n_epochs: int) -> float:
    """Return the seconds of `n_epochs` of the recipe: Yang et al. 2023, written from its text.

    ResNet-18 with a 3×3 stem of stride 1 and without max-pool, two logits, cross-entropy, Adam
    1e-3, batches of 128, fp32, all cores; train, val and test are scored after each epoch. The
    scores are thrown away: only the time is wanted.
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


def official_network(make: Callable[..., nn.Module]) -> nn.Module:
    """Return torchvision's network with two logits, a 3×3 stem of stride 1 and no max-pool."""
    network = make(num_classes=2)
    network.conv1 = nn.Conv2d(1, 64, 3, stride=1, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def as_tensors(part: ImageSet) -> tuple[Tensor, Tensor]:
    """Return images scaled to −1…1, (N, 1, 28, 28), and the file's labels, (N,)."""
    images = torch.from_numpy(part.images).float().unsqueeze(1) / 127.5 - 1
    return images, torch.from_numpy((~part.malignant).astype(np.int64))


def train_one_epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    """Train on all images once, in random order."""
    network.train()
    for batch in torch.randperm(len(images)).split(BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimizer.step()


def score(network: nn.Module, images: Tensor) -> Tensor:
    """Return the probabilities of both classes, (N, 2)."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(batch).softmax(dim=1) for batch in images.split(BATCH)])


if __name__ == "__main__":
    main()
