"""The official MedMNIST recipe (Yang et al. 2023, https://doi.org/10.1038/s41597-022-01721-8).

Written from its text: ResNet-18 with a 3×3 stem of stride 1 and without max-pool, two logits,
cross-entropy, batches of 128, no augmentation, fp32; Adam 1e-3, a tenth of it after half of 100
epochs and a hundredth after three quarters.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import resnet18

from breast_ultrasound.model.classifier import reproducible

N_EPOCHS = 100
BATCH = 128


def official_network() -> nn.Module:
    """Return ResNet-18 with two logits, a 3×3 stem of stride 1 and no max-pool."""
    network: nn.Module = resnet18(num_classes=2)
    network.conv1 = nn.Conv2d(1, 64, 3, stride=1, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def as_tensors(images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Return images scaled to −1…1, (N, 1, H, W), and the file's labels, (N,): 0 is malignant."""
    scaled = torch.from_numpy(images).float().unsqueeze(1) / 127.5 - 1
    return scaled, torch.from_numpy((~malignant).astype(np.int64))


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


def train_recipe(
    images: NDArray[np.uint8],
    malignant: NDArray[np.bool_],
    scored: NDArray[np.uint8],
    seed: int,
    n_epochs: int = N_EPOCHS,
) -> NDArray[np.float32]:
    """Train on images (N, H, W) and return the probability of malignant of `scored`, (S,).

    There are no images to choose an epoch by: the network is that of the last.
    """
    with reproducible("cpu"), torch.random.fork_rng():
        torch.manual_seed(seed)
        model = official_network().to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        milestones = [n_epochs // 2, n_epochs * 3 // 4]
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
        inputs, labels = as_tensors(images, malignant)
        for _ in range(n_epochs):
            train_one_epoch(model, optimizer, inputs, labels)
            scheduler.step()
        asked = as_tensors(scored, np.zeros(len(scored), dtype=np.bool_))[0]
        return np.asarray(score(model, asked)[:, 0].numpy())
