"""Residual networks of torchvision's blocks, with a stem, a width and a depth for small images."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from breast_ultrasound.params import ModelParams, Standardise

LEAST_DEVIATION = 0.02  # of grey levels from −1 to 1: images of nearly one grey stay so
# The local mean is taken on so many cells a side, whatever the image's size, by a Gaussian of so
# many cells, cut off at two standard deviations.
LOCAL_CELLS, LOCAL_DEVIATION, LOCAL_REACH = 28, 6.0, 12


class ResNet(nn.Module):
    """Residual network (He et al. 2016, https://arxiv.org/abs/1512.03385) with one logit.

    With the stem `imagenet`, width 64, blocks 2, 2, 2, 2 and no dropout it is torchvision's
    `resnet18` for one channel and one class: the same layers under the same names, so its weights
    fit.

    Args:
        params: stem `imagenet` (7×7 stride 2, max-pool), `small` (3×3 stride 1) or
            `small_strided` (3×3 stride 2); images are resized to `input_size` first (bicubic),
            unless it is None.
            Before that, with `standardise` `global` or `local` each image gets mean 0 and standard
            deviation 1, with `local` after its Gaussian local mean was taken away.
            Stage i has `blocks[i]` blocks of `width`·2ⁱ channels; all but the first halve the side.
    """

    def __init__(self, params: ModelParams) -> None:
        super().__init__()
        width = params.width
        self.input_size, self.standardise = params.input_size, params.standardise
        match params.stem:
            case "imagenet":
                self.conv1 = nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False)
                self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
            case "small":
                self.conv1 = nn.Conv2d(1, width, 3, stride=1, padding=1, bias=False)
                self.maxpool = nn.Identity()
            case "small_strided":
                self.conv1 = nn.Conv2d(1, width, 3, stride=2, padding=1, bias=False)
                self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        stages: list[nn.Module] = []
        n_in = width
        for i, n_blocks in enumerate(params.blocks):
            stages.append(_stage(n_in, width * 2**i, n_blocks, stride=1 if i == 0 else 2))
            n_in = width * 2**i if n_blocks else n_in
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.dropout = nn.Dropout(params.dropout)
        self.fc = nn.Linear(n_in, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logit of malignant, (B,), for images (B, 1, H, W), black −1, white 1."""
        x = standardised(images, self.standardise)
        if self.input_size is not None and x.shape[-1] != self.input_size:
            size = (self.input_size, self.input_size)
            x = functional.interpolate(x, size, mode="bicubic", align_corners=False)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = x.mean(dim=(2, 3))
        # Not `self.fc(x)`, whose product of matrices has other digits on another maker's CPU.
        logits: Tensor = (self.dropout(x) * self.fc.weight).sum(dim=1) + self.fc.bias
        return logits


def standardised(images: Tensor, by: Standardise) -> Tensor:
    """Return images (B, 1, H, W) without their background or gain, as `ResNet` says."""
    if by == "none":
        return images
    x = images - _local_mean(images) if by == "local" else images
    x = x - x.mean(dim=(2, 3), keepdim=True)
    # Not the root of the mean square: `Tensor.sqrt` is MKL's, with digits of each CPU's own.
    return x / (x.std(dim=(2, 3), correction=0, keepdim=True) + LEAST_DEVIATION)


def _local_mean(images: Tensor) -> Tensor:
    """Return the background of images (B, 1, S, S): a Gaussian blur of their cells."""
    side, reach = images.shape[-1], LOCAL_REACH
    ticks = torch.arange(-reach, reach + 1, dtype=torch.float64, device=images.device)
    weights = torch.exp(-ticks.square() / (2 * LOCAL_DEVIATION**2))
    weights = (weights / weights.sum()).to(images.dtype)
    cells = functional.adaptive_avg_pool2d(images, LOCAL_CELLS)
    cells = functional.pad(cells, (reach, reach, reach, reach), mode="reflect")
    cells = functional.conv2d(cells, weights[None, None, :, None])
    cells = functional.conv2d(cells, weights[None, None, None, :])
    return functional.interpolate(cells, (side, side), mode="bilinear", align_corners=False)


def _stage(n_in: int, n_out: int, n_blocks: int, stride: int) -> nn.Sequential:
    """Return `n_blocks` basic blocks, the first of which changes resolution and channels."""
    from torchvision.models.resnet import BasicBlock  # slow to import

    if n_blocks == 0:
        return nn.Sequential()
    downsample = None
    if stride != 1 or n_in != n_out:
        downsample = nn.Sequential(
            nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)
        )
    first = BasicBlock(n_in, n_out, stride, downsample)
    return nn.Sequential(first, *(BasicBlock(n_out, n_out) for _ in range(n_blocks - 1)))


def count_flops(params: ModelParams, side: int) -> int:
    """Return the floating-point operations of one forward pass of one `side`×`side` image."""
    from torch.utils.flop_counter import FlopCounterMode

    # On the meta device nothing is computed: only shapes are followed.
    with torch.device("meta"):
        model, image = ResNet(params).eval(), torch.empty(1, 1, side, side)
    counter: Any = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(image)
    return int(counter.get_total_flops())
