"""The official MedMNIST recipe (Yang et al. 2023), written from its text.

ResNet-18 with a 3×3 stem of stride 1 and without max-pool, two logits, cross-entropy, Adam 1e-3,
batches of 128, fp32.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from breast_ultrasound.data.dataset import ImageSet

N_EPOCHS = 100
BATCH = 128


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
