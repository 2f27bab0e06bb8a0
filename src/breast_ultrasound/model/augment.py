"""Random changes of a batch of images, all at once on tensors."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from breast_ultrasound.params import AugmentParams


def augment(images: Tensor, params: AugmentParams, generator: Generator) -> Tensor:
    """Return randomly changed copies of images (B, 1, S, S), black −1 and white 1.

    Every image draws its own mirror, rotation, scale, shift, contrast, brightness and cut-out.
    The draws depend on `generator` (on the CPU) alone, and all zeros returns the images as given.
    """

    def uniform(limit: float) -> Tensor:
        """Draw (B,) numbers from −limit to limit."""
        draws = torch.rand(len(images), generator=generator) * 2 - 1
        return (draws * limit).to(images.device)

    mirror = torch.rand(len(images), generator=generator).to(images.device) < params.flip
    angle = uniform(math.radians(params.rotation))
    scale = 1 + uniform(params.scale)
    shift = torch.stack([uniform(2 * params.shift), uniform(2 * params.shift)], dim=1)
    contrast, brightness = 1 + uniform(params.contrast), uniform(2 * params.brightness)
    centre = torch.stack([uniform(1.0), uniform(1.0)], dim=1)
    if params.flip or params.rotation or params.scale or params.shift:
        images = _warp(images, mirror, angle, scale, shift)
    images = images * contrast[:, None, None, None] + brightness[:, None, None, None]
    return _cut_out(images, centre, params.cutout) if params.cutout else images


def _warp(images: Tensor, mirror: Tensor, angle: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Mirror, rotate, scale and shift each image; what comes from outside repeats the border."""
    sign = torch.where(mirror, -1.0, 1.0)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    side = images.shape[-1]
    ticks = (2 * torch.arange(side, device=images.device) + 1) / side - 1  # centres of pixels
    x, y = ticks[None, None, :], ticks[None, :, None]
    # Written out: `affine_grid` multiplies matrices, whose digits hang on the maker of the CPU.
    across = (sign * cos)[:, None, None] * x - sin[:, None, None] * y + shift[:, :1, None]
    down = (sign * sin)[:, None, None] * x + cos[:, None, None] * y + shift[:, 1:, None]
    grid = torch.stack([across, down], dim=3)  # (B, S, S, 2)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _cut_out(images: Tensor, centre: Tensor, side: float) -> Tensor:
    """Blank a square in each image (DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552).

    Args:
        images: (B, 1, S, S).
        centre: (B, 2), from −1 to 1 over the image.
        side: fraction of the image's side.
    """
    ticks = torch.linspace(-1, 1, images.shape[-1], device=images.device)
    rows = (ticks[None, :] - centre[:, :1]).abs() < side  # (B, S)
    columns = (ticks[None, :] - centre[:, 1:]).abs() < side
    blank = rows[:, None, :, None] & columns[:, None, None, :]
    return images.masked_fill(blank, 0.0)
