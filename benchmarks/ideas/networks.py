"""Ideas that change the network."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import SqueezeExcitation, StochasticDepth

from benchmarks.ideas.plain import plain
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.model import training
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.params import ModelParams
from breast_ultrasound.runs.run import Run, RunResult


def with_network(change: Callable[[Any], None]) -> Callable[[ModelParams], ResNet]:
    """Return what builds the network and changes it."""

    def build(params: ModelParams) -> ResNet:
        network = ResNet(params)
        change(network)
        return network

    return build


def plain_with(change: Callable[[Any], None], run: Run, dev: ImageSet) -> RunResult:
    """Train as the pipeline does, a changed network."""
    with mock.patch.object(training, "ResNet", with_network(change)):
        return plain(run, dev)


def blocks_of(network: nn.Module) -> list[BasicBlock]:
    """Return the residual blocks, first to last."""
    return [module for module in network.modules() if isinstance(module, BasicBlock)]


def initialise(new: nn.Module) -> None:
    """Draw the weights of convolutions as the pipeline's network does."""
    for module in new.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def stochastic_depth(run: Run, dev: ImageSet) -> RunResult:
    """Leave residuals out, up to a fifth of the last (https://arxiv.org/abs/1603.09382)."""

    def change(network: Any) -> None:
        blocks = blocks_of(network)
        for i, block in enumerate(blocks, start=1):
            drop = StochasticDepth(0.2 * i / len(blocks), "row")
            block.bn2 = nn.Sequential(block.bn2, drop)

    def settle(batches: Any, network: nn.Module) -> None:
        for module in network.modules():
            if isinstance(module, StochasticDepth):
                module.p = 0.0  # settling is done in training mode
        update_bn(batches, network)

    with mock.patch.multiple(training, ResNet=with_network(change), update_bn=settle):
        return plain(run, dev)


class Blur(nn.Module):
    """Low-pass filter of 3×3 binomial weights, then every other pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H/2, W/2) of (B, C, H, W)."""
        taps = torch.tensor([0.25, 0.5, 0.25])
        kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
        padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(padded, kernel, stride=2, groups=x.shape[1])


def blur_pool(run: Run, dev: ImageSet) -> RunResult:
    """Halve sides behind a low-pass filter (https://arxiv.org/abs/1904.11486)."""

    def change(network: Any) -> None:
        for block in blocks_of(network):
            if block.conv1.stride == (2, 2):
                block.conv1.stride = (1, 1)
                block.conv2 = nn.Sequential(Blur(), block.conv2)
                block.downsample[0].stride = (1, 1)
                block.downsample.insert(0, Blur())

    return plain_with(change, run, dev)


def average_shortcut(run: Run, dev: ImageSet) -> RunResult:
    """Average where shortcuts halve the side (ResNet-D, https://arxiv.org/abs/1812.01187)."""

    def change(network: Any) -> None:
        for block in blocks_of(network):
            if block.conv1.stride == (2, 2):
                block.downsample[0].stride = (1, 1)
                block.downsample.insert(0, nn.AvgPool2d(2, ceil_mode=True))

    return plain_with(change, run, dev)


class Rows(nn.Module):
    """Adds a channel with the row, from −1 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 2, H, W) of (B, 1, H, W)."""
        rows = torch.linspace(-1, 1, x.shape[2])[None, None, :, None].expand(x.shape)
        return torch.cat([x, rows], dim=1)


def depth_channel(run: Run, dev: ImageSet) -> RunResult:
    """Tell the network how deep a pixel lies (https://arxiv.org/abs/1807.03247)."""

    def change(network: Any) -> None:
        convolution = nn.Conv2d(2, network.conv1.out_channels, 3, padding=1, bias=False)
        initialise(convolution)
        network.conv1 = nn.Sequential(Rows(), convolution)

    return plain_with(change, run, dev)


def max_pool_too(run: Run, dev: ImageSet) -> RunResult:
    """Decide by the mean and the maximum of each channel over the image."""

    def change(network: Any) -> None:
        n_channels = network.fc.in_features
        network.fc = nn.Linear(2 * n_channels, 1)
        maps: list[Tensor] = []
        network.layer4.register_forward_hook(lambda *args: maps.append(args[2]))
        network.fc.register_forward_pre_hook(
            lambda _, args: (torch.cat([args[0], maps.pop().amax(dim=(2, 3))], dim=1),)
        )

    return plain_with(change, run, dev)


def resnet50(run: Run, dev: ImageSet) -> RunResult:
    """Put in the blocks of ResNet-50, at the same width (https://arxiv.org/abs/1512.03385)."""

    def change(network: Any) -> None:
        n_in = width = network.conv1.out_channels
        for i, n_blocks in enumerate((3, 4, 6, 3)):
            n_inner, stride = width * 2**i, 1 if i == 0 else 2
            n_out = n_inner * Bottleneck.expansion
            shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)
            )
            first = Bottleneck(n_in, n_inner, stride, shortcut)
            rest = [Bottleneck(n_out, n_inner) for _ in range(n_blocks - 1)]
            setattr(network, f"layer{i + 1}", nn.Sequential(first, *rest))
            n_in = n_out
        network.fc = nn.Linear(n_in, 1)
        initialise(network)

    return plain_with(change, run, dev)


def squeeze_excite(run: Run, dev: ImageSet) -> RunResult:
    """Weigh each block's channels by what all of them say (https://arxiv.org/abs/1709.01507)."""

    def change(network: Any) -> None:
        for block in blocks_of(network):
            n_channels = block.conv2.out_channels
            block.bn2 = nn.Sequential(block.bn2, SqueezeExcitation(n_channels, n_channels // 4))

    return plain_with(change, run, dev)


def enlarged(mode: str) -> Callable[[Run, ImageSet], RunResult]:
    """Return an idea: double the side by an interpolation of torch's, halve it at once after."""

    def change(network: Any) -> None:
        network.input_size *= 2
        network.conv1.stride = (2, 2)
        network.register_forward_pre_hook(
            lambda _, args: (functional.interpolate(args[0], scale_factor=2, mode=mode),)
        )

    def idea(run: Run, dev: ImageSet) -> RunResult:
        return plain_with(change, run, dev)

    return idea
