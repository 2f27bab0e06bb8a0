"""The official MedMNIST recipe (Yang et al. 2023), written from its text.

ResNet-18 with a 3×3 stem of stride 1 and without max-pool, two logits, cross-entropy, batches of
128, no augmentation, fp32; Adam 1e-3, a tenth of it after half of 100 epochs and a hundredth after
three quarters.
"""

import hashlib
import inspect
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from benchmarks.folds import on_folds, side_by_side
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.files import read_arrays, write_arrays
from breast_ultrasound.model.training import Hardware
from breast_ultrasound.runs.run import Run, device_kind, digest_of, versions
from breast_ultrasound.search.cross_validation import CrossValidation

KEPT = user_cache_path("breast-ultrasound") / "references"
NETWORKS: dict[str, Callable[..., nn.Module]] = {"ResNet-18": resnet18, "ResNet-50": resnet50}
N_EPOCHS = 100
BATCH = 128
FP32 = Hardware("cpu", "fp32")


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


def official_on_folds(
    dev: ImageSet, network: str = "ResNet-18", n_epochs: int = N_EPOCHS, n_repeats: int = 1
) -> CrossValidation:
    """Cross-validate the recipe. A repeat of ResNet-18 takes over an hour on two cores, once."""
    return on_folds(dev, n_repeats, side_by_side(partial(trained, network, n_epochs, dev)))


def trained(network: str, n_epochs: int, dev: ImageSet, run: Run) -> NDArray[np.float32]:
    """Return what `train` does; a finished training is kept until its code or packages change."""
    told = {"images": dev.images, "malignant": dev.malignant, "train": run.train}
    parts = [inspect.getsource(part) for part in (official_network, train_one_epoch, train)]
    origin = f"{digest_of(told)}|{parts}|{versions()}|{device_kind(FP32)}"
    name = f"{network}-{n_epochs}-{run.seed}-{hashlib.sha256(origin.encode()).hexdigest()[:16]}"
    kept = KEPT / f"{name}.npz"
    if not kept.exists():
        write_arrays(kept, {"answer": train(network, n_epochs, dev, run)})
    return np.asarray(read_arrays(kept, ["answer"])["answer"], dtype=np.float32)


def train(network: str, n_epochs: int, dev: ImageSet, run: Run) -> NDArray[np.float32]:
    """Train the recipe and return the probability of malignant of the run's scored images.

    There are no images to choose an epoch by: the network is that of the last.
    """
    torch.set_num_threads(1)
    torch.manual_seed(run.seed)
    model = official_network(NETWORKS[network]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    milestones = [n_epochs // 2, n_epochs * 3 // 4]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    images, labels = as_tensors(dev)
    for _ in range(n_epochs):
        train_one_epoch(model, optimizer, images[run.train], labels[run.train])
        scheduler.step()
    return score(model, images[run.score])[:, 0].numpy()  # the file's label 0
