"""Ideas that change the images to learn from."""

import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Generator, Tensor
from torch.nn import functional
from torchvision.transforms import ElasticTransform

from benchmarks.ideas.plain import plain
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.model import training
from breast_ultrasound.model.augment import augment
from breast_ultrasound.model.losses import loss_of
from breast_ultrasound.params import AugmentParams, TrainingParams
from breast_ultrasound.runs.run import Run, RunResult


def shaken(change: Callable[[Tensor, Generator], Tensor], run: Run, dev: ImageSet) -> RunResult:
    """Augment images (B, 1, S, S) by `change` too."""

    def augmented(x: Tensor, params: AugmentParams, generator: Generator) -> Tensor:
        return change(augment(x, params, generator), generator)

    with mock.patch.object(training, "augment", augmented):
        return plain(run, dev)


def speckle(run: Run, dev: ImageSet) -> RunResult:
    """Multiply greys by noise of 0 to 20 %."""

    def change(x: Tensor, generator: Generator) -> Tensor:
        strength = 0.2 * torch.rand((len(x), 1, 1, 1), generator=generator)
        return (x + 1) * (1 + strength * torch.randn(x.shape, generator=generator)) - 1

    return shaken(change, run, dev)


def shading(run: Run, dev: ImageSet) -> RunResult:
    """Change the gain with depth, up to a third at the top and at the bottom."""

    def change(x: Tensor, generator: Generator) -> Tensor:
        slope = (torch.rand((len(x), 1, 1, 1), generator=generator) * 2 - 1) / 3
        depth = torch.linspace(-1, 1, x.shape[2])[:, None]
        return (x + 1) * (1 + slope * depth) - 1

    return shaken(change, run, dev)


def elastic(run: Run, dev: ImageSet) -> RunResult:
    """Warp smoothly, by half a pixel or so, in the same resampling as the other changes."""
    straight = functional.affine_grid

    def bent(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        shape = list(size[-2:])
        warps = [ElasticTransform.get_params([20.0, 20.0], [4.0, 4.0], shape) for _ in theta]
        return straight(theta, size, align_corners) + torch.cat(warps)

    with mock.patch.object(functional, "affine_grid", bent):
        return plain(run, dev)


def mixed(
    mix: Callable[[Tensor, Tensor, float], tuple[Tensor, float]], run: Run, dev: ImageSet
) -> RunResult:
    """Train on images mixed from two, with targets between theirs.

    Args:
        mix: takes images (B, 1, S, S), their partners, and the share of the first; returns the
            mixed images and the share that it came to.
    """
    held: dict[str, Any] = {}

    def augmented(x: Tensor, params: AugmentParams, generator: Generator) -> Tensor:
        x = augment(x, params, generator)
        held["partner"] = torch.randperm(len(x), generator=generator)
        share = float(torch.rand((), generator=generator))
        x, held["share"] = mix(x, x[held["partner"]], share)
        return x

    def mixed_loss(logits: Tensor, targets: Tensor, params: TrainingParams) -> Tensor:
        share, partner = held["share"], held["partner"]
        return loss_of(logits, share * targets + (1 - share) * targets[partner], params)

    with mock.patch.multiple(training, augment=augmented, loss_of=mixed_loss):
        return plain(run, dev)


def mixup(run: Run, dev: ImageSet) -> RunResult:
    """Overlay each image with another (https://arxiv.org/abs/1710.09412), by a tenth on average."""

    def overlay(x: Tensor, partner: Tensor, share: float) -> tuple[Tensor, float]:
        share = 1 - 0.2 * share
        return share * x + (1 - share) * partner, share

    return mixed(overlay, run, dev)


def cutmix(run: Run, dev: ImageSet) -> RunResult:
    """Put a square of one image into another (https://arxiv.org/abs/1905.04899), up to a half."""

    def insert(x: Tensor, partner: Tensor, share: float) -> tuple[Tensor, float]:
        side = x.shape[-1]
        n = round(side * math.sqrt(share / 2))
        top, left = torch.randint(side - n + 1, (2,)).tolist()
        x = x.clone()
        x[..., top : top + n, left : left + n] = partner[..., top : top + n, left : left + n]
        return x, 1 - (n / side) ** 2

    return mixed(insert, run, dev)
