"""Random changes of a batch of images, all at once on tensors.

Exponentials, sines and cosines are taken in double precision and rounded: in single precision they
are MKL's, whose last digit may be the CPU's own.
"""

import math

import torch
from torch import Generator, Tensor

from breast_ultrasound.params import AugmentParams


def augment(images: Tensor, params: AugmentParams, generator: Generator) -> Tensor:
    """Return randomly changed copies of images (B, 1, S, S), black −1 and white 1.

    Every image draws its own mirror, rotation, scale, shift, contrast, brightness, gamma and
    cut-out. The draws depend on `generator` (on the CPU) alone, and all zeros returns the images as
    given.
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
    if params.gamma:
        images = _gamma(images, uniform(params.gamma))
    return _cut_out(images, centre, params.cutout) if params.cutout else images


def _warp(images: Tensor, mirror: Tensor, angle: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Mirror, rotate, scale and shift each image; what comes from outside repeats the border."""
    sign = torch.where(mirror, -1.0, 1.0)
    turn = angle.double()
    cos, sin = turn.cos().to(angle.dtype) / scale, turn.sin().to(angle.dtype) / scale
    side = images.shape[-1]
    ticks = (2 * torch.arange(side, device=images.device) + 1) / side - 1  # centres of pixels
    x, y = ticks[None, None, :], ticks[None, :, None]
    # Written out: the product of matrices in `affine_grid` has other digits on other makers' CPUs.
    across = (sign * cos)[:, None, None] * x - sin[:, None, None] * y + shift[:, :1, None]
    down = (sign * sin)[:, None, None] * x + cos[:, None, None] * y + shift[:, 1:, None]
    return _sample(images, across, down)


def _sample(images: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Return the bilinear values of images (B, 1, S, S) at places (B, S, S), from −1 to 1.

    It is `grid_sample` with border padding, whose gathers of AVX2 end an emulated CPU
    (`make test-cpus`).
    """
    side = images.shape[-1]
    x, y = (((place + 1) * side - 1).div(2).clamp(0, side - 1) for place in (across, down))
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=side - 1), (top + 1).clamp(max=side - 1)
    pixels = images.flatten(1)

    def at(row: Tensor, column: Tensor) -> Tensor:
        return pixels.gather(1, (row * side + column).flatten(1)).view_as(x)

    x, y = x - left, y - top
    upper = torch.lerp(at(top, left), at(top, right), x)
    lower = torch.lerp(at(bottom, left), at(bottom, right), x)
    return torch.lerp(upper, lower, y).unsqueeze(1)


def _gamma(images: Tensor, exponent: Tensor) -> Tensor:
    """Raise the grey levels of each image, clipped, to the power of e^`exponent`, (B,)."""
    greys = ((images + 1) / 2).clamp(0, 1)
    power = exponent.double().exp().to(images.dtype)
    return greys ** power[:, None, None, None] * 2 - 1


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
