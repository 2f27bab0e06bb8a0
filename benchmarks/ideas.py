"""Ideas that the workflow does not use, on the same grouped folds: what lab notes quote.

    python -m benchmarks.ideas [--ideas NAME …] [--repeats 3]

Each idea changes the training of the chosen configuration; differences to the plain training are
paired by fold and seed. A training that is finished is kept in the user's cache folder, until the
code that trains or the idea's own changes. Run after `dvc repro`.
"""

import argparse
import hashlib
import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, update_bn
from torchvision.models.resnet import BasicBlock
from torchvision.ops import StochasticDepth
from torchvision.transforms import ElasticTransform

from benchmarks.compare import cells
from benchmarks.references import side_by_side
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.files import read_arrays, write_arrays
from breast_ultrasound.model import training
from breast_ultrasound.model.augment import augment
from breast_ultrasound.model.losses import loss_of
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.model.training import TrainingConfig, read_config
from breast_ultrasound.params import AugmentParams, ModelParams, TrainingParams, load_params
from breast_ultrasound.runs.execute import Executor, find_hardware, find_resources
from breast_ultrasound.runs.run import Run, RunResult, digest_of, key_of, train
from breast_ultrasound.search.cross_validation import cross_validate
from breast_ultrasound.search.fold_runs import Execute
from tests.workspace import ROOT

KEPT = user_cache_path("breast-ultrasound") / "ideas"
# Trains one run on images and labels, its way.
Idea = Callable[[Run, NDArray[np.uint8], NDArray[np.bool_]], RunResult]


def main() -> None:
    """Print a table in Markdown, a row an idea; columns as in `benchmarks.compare`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ideas", nargs="*", default=list(IDEAS), choices=list(IDEAS))
    parser.add_argument("--repeats", type=int, default=3, help="of the folds")
    arguments = parser.parse_args()
    params = load_params(ROOT / "params.yaml")
    config = read_config(ROOT / "data/chosen.json")
    dev = ImageSet.load(ROOT / "data/processed/dev.npz")
    print("| idea | AUC of folds | − plain | AUC, one network | AUC, all | accuracy |")
    print("| --- | --- | --- | --- | --- | --- |")
    first: NDArray[np.float64] | None = None
    execute: Execute = Executor(dev.images, dev.malignant, find_resources("cpu", 0, None))
    for name in ["plain", *arguments.ideas]:
        if name != "plain":
            source = "".join(inspect.getsource(part) for part in (IDEAS[name], *SHARED))
            execute = side_by_side(partial(_kept, name, source, dev))
        result = cross_validate(
            config, dev, params.folds.n_splits, arguments.repeats, params.seed, execute
        )
        aucs = np.array([row["auc"] for row in result.fold_scores])
        first = aucs if first is None else first
        print(f"| {name} | {' | '.join(cells(result, aucs, first, dev))} |", flush=True)


def _kept(name: str, source: str, dev: ImageSet, run: Run) -> NDArray[np.float32]:
    """Return the logits of the run's scored images by an idea, trained or kept.

    Args:
        source: of the idea; a class of the main module has none in a worker process.
    """
    data = digest_of({"images": dev.images, "malignant": dev.malignant})
    told = key_of(run, data, find_hardware("cpu")) + source
    path = KEPT / f"{hashlib.sha256(told.encode()).hexdigest()}.npz"
    if not path.exists():
        write_arrays(path, {"logits": IDEAS[name](run, dev.images, dev.malignant).logits})
    return read_arrays(path, ["logits"])["logits"]


def plain(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Train as the pipeline does."""
    return train(run, images, malignant, find_hardware("cpu"))


def with_network(change: Callable[[Any], None]) -> Callable[[ModelParams], ResNet]:
    """Return what builds the network and changes it."""

    def build(params: ModelParams) -> ResNet:
        network = ResNet(params)
        change(network)
        return network

    return build


def blocks_of(network: nn.Module) -> list[BasicBlock]:
    """Return the residual blocks, first to last."""
    return [module for module in network.modules() if isinstance(module, BasicBlock)]


def stochastic_depth(
    run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]
) -> RunResult:
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
        return plain(run, images, malignant)


class Blur(nn.Module):
    """Low-pass filter of 3×3 binomial weights, then every other pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H/2, W/2) of (B, C, H, W)."""
        taps = torch.tensor([0.25, 0.5, 0.25])
        kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
        padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(padded, kernel, stride=2, groups=x.shape[1])


def blur_pool(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Halve sides behind a low-pass filter (https://arxiv.org/abs/1904.11486)."""

    def change(network: Any) -> None:
        for block in blocks_of(network):
            if block.conv1.stride == (2, 2):
                block.conv1.stride = (1, 1)
                block.conv2 = nn.Sequential(Blur(), block.conv2)
                block.downsample[0].stride = (1, 1)
                block.downsample.insert(0, Blur())

    with mock.patch.object(training, "ResNet", with_network(change)):
        return plain(run, images, malignant)


def average_shortcut(
    run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]
) -> RunResult:
    """Average where shortcuts halve the side (ResNet-D, https://arxiv.org/abs/1812.01187)."""

    def change(network: Any) -> None:
        for block in blocks_of(network):
            if block.conv1.stride == (2, 2):
                block.downsample[0].stride = (1, 1)
                block.downsample.insert(0, nn.AvgPool2d(2, ceil_mode=True))

    with mock.patch.object(training, "ResNet", with_network(change)):
        return plain(run, images, malignant)


class Rows(nn.Module):
    """Adds a channel with the row, from −1 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 2, H, W) of (B, 1, H, W)."""
        rows = torch.linspace(-1, 1, x.shape[2])[None, None, :, None].expand(x.shape)
        return torch.cat([x, rows], dim=1)


def depth_channel(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Tell the network how deep a pixel lies (https://arxiv.org/abs/1807.03247)."""

    def change(network: Any) -> None:
        convolution = nn.Conv2d(2, network.conv1.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        network.conv1 = nn.Sequential(Rows(), convolution)

    with mock.patch.object(training, "ResNet", with_network(change)):
        return plain(run, images, malignant)


def max_pool_too(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Decide by the mean and the maximum of each channel over the image."""

    def change(network: Any) -> None:
        n_channels = network.fc.in_features
        network.fc = nn.Linear(2 * n_channels, 1)
        maps: list[Tensor] = []
        network.layer4.register_forward_hook(lambda *args: maps.append(args[2]))
        network.fc.register_forward_pre_hook(
            lambda _, args: (torch.cat([args[0], maps.pop().amax(dim=(2, 3))], dim=1),)
        )

    with mock.patch.object(training, "ResNet", with_network(change)):
        return plain(run, images, malignant)


def mixed(
    mix: Callable[[Tensor, Tensor, float], tuple[Tensor, float]],
    run: Run,
    images: NDArray[np.uint8],
    malignant: NDArray[np.bool_],
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
        return plain(run, images, malignant)


def mixup(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Overlay each image with another (https://arxiv.org/abs/1710.09412), by a tenth on average."""

    def overlay(x: Tensor, partner: Tensor, share: float) -> tuple[Tensor, float]:
        share = 1 - 0.2 * share
        return share * x + (1 - share) * partner, share

    return mixed(overlay, run, images, malignant)


def cutmix(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Put a square of one image into another (https://arxiv.org/abs/1905.04899), up to a half."""

    def insert(x: Tensor, partner: Tensor, share: float) -> tuple[Tensor, float]:
        side = x.shape[-1]
        n = round(side * math.sqrt(share / 2))
        top, left = torch.randint(side - n + 1, (2,)).tolist()
        x = x.clone()
        x[..., top : top + n, left : left + n] = partner[..., top : top + n, left : left + n]
        return x, 1 - (n / side) ** 2

    return mixed(insert, run, images, malignant)


def shaken(
    change: Callable[[Tensor, Generator], Tensor],
    run: Run,
    images: NDArray[np.uint8],
    malignant: NDArray[np.bool_],
) -> RunResult:
    """Augment images (B, 1, S, S) by `change` too."""

    def augmented(x: Tensor, params: AugmentParams, generator: Generator) -> Tensor:
        return change(augment(x, params, generator), generator)

    with mock.patch.object(training, "augment", augmented):
        return plain(run, images, malignant)


def shading(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Change the gain with depth, up to a third at the top and at the bottom."""

    def change(x: Tensor, generator: Generator) -> Tensor:
        slope = (torch.rand((len(x), 1, 1, 1), generator=generator) * 2 - 1) / 3
        depth = torch.linspace(-1, 1, x.shape[2])[:, None]
        return (x + 1) * (1 + slope * depth) - 1

    return shaken(change, run, images, malignant)


def speckle(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Multiply greys by noise of 0 to 20 %."""

    def change(x: Tensor, generator: Generator) -> Tensor:
        strength = 0.2 * torch.rand((len(x), 1, 1, 1), generator=generator)
        return (x + 1) * (1 + strength * torch.randn(x.shape, generator=generator)) - 1

    return shaken(change, run, images, malignant)


def elastic(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Warp smoothly, by half a pixel or so, in the same resampling as the other changes."""
    straight = functional.affine_grid

    def bent(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
        shape = list(size[-2:])
        warps = [ElasticTransform.get_params([20.0, 20.0], [4.0, 4.0], shape) for _ in theta]
        return straight(theta, size, align_corners) + torch.cat(warps)

    with mock.patch.object(functional, "affine_grid", bent):
        return plain(run, images, malignant)


def twins_agree(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Give near-twins the mean of their labels as target: some contradict each other."""
    groups = ImageSet.load(ROOT / "data/processed/dev.npz").group[run.train]
    _, index = np.unique(groups, return_inverse=True)
    means = np.bincount(index, malignant[run.train]) / np.bincount(index)
    targets = torch.from_numpy(means[index].astype(np.float32))
    with mock.patch.object(training, "_targets", return_value=targets):
        return plain(run, images, malignant)


def second_half_average(
    run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]
) -> RunResult:
    """Average the weights of the second half of the steps evenly (SWA, arXiv 1803.05407)."""
    batches = len(training._batch_sizes(len(run.train), run.config.training.batch_size))
    half = batches * run.config.training.n_epochs // 2

    def mean(averaged: Any, current: Any, n_averaged: Tensor) -> None:
        n = max(int(n_averaged) - half, 0)
        for a, c in zip(averaged, current, strict=True):
            a.lerp_(c, 1 / (n + 1)) if a.is_floating_point() else a.copy_(c)

    def average(model: nn.Module, _: float) -> nn.Module:
        return AveragedModel(model, multi_avg_fn=mean, use_buffers=True)

    with mock.patch.object(training, "_average", average):
        return plain(run, images, malignant)


def sharpness_aware(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Step by the gradient at the worst place near by (SAM, https://arxiv.org/abs/2010.01412)."""
    held: dict[str, Tensor] = {}

    def held_loss(logits: Tensor, targets: Tensor, params: TrainingParams) -> Tensor:
        held["targets"] = targets
        return loss_of(logits, targets, params)

    def optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
        def hold(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            if torch.is_grad_enabled():
                held["inputs"] = args[0]

        def climb(*_: Any) -> None:
            weights = [p for p in model.parameters() if p.grad is not None]
            buffers = [b.clone() for b in model.buffers()]
            gradients = [p.grad for p in weights]
            norm = torch.stack([g.norm() for g in gradients]).norm()
            offsets = [0.05 / norm * g for g in gradients]
            with torch.no_grad():
                torch._foreach_add_(weights, offsets)
            model.zero_grad()
            loss_of(model(held["inputs"]), held["targets"], config.training).backward()
            with torch.no_grad():
                torch._foreach_sub_(weights, offsets)
                for now, before in zip(model.buffers(), buffers, strict=True):
                    now.copy_(before)

        model.register_forward_pre_hook(hold)
        adam = make(model, config)
        adam.register_step_pre_hook(climb)
        return adam

    make = training._optimizer
    with mock.patch.multiple(training, loss_of=held_loss, _optimizer=optimizer):
        return plain(run, images, malignant)


def distilled(run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> RunResult:
    """Learn what three networks say together about each augmented image, not the labels."""
    hardware = find_hardware("cpu")
    teachers = []
    for member in range(1, 4):
        teacher = replace(run, seed=run.seed + member, keep_weights=True)
        weights = plain(teacher, images, malignant).weights
        teachers.append(training.network_of(run.config.model, weights, hardware).eval())
    held: list[Tensor] = []

    def augmented(x: Tensor, params: AugmentParams, generator: Generator) -> Tensor:
        x = augment(x, params, generator)
        with torch.no_grad():
            held.append(torch.stack([teacher(x) for teacher in teachers]).mean(dim=0))
        return x

    def loss(logits: Tensor, *_: Any) -> Tensor:
        return functional.binary_cross_entropy_with_logits(logits, held.pop().sigmoid())

    with mock.patch.multiple(training, augment=augmented, loss_of=loss):
        return plain(run, images, malignant)


def contrastive_first(
    run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_]
) -> RunResult:
    """Learn first, without labels, which two views are of one training image (arXiv 2002.05709).

    Near-twins are not held against each other. What follows has a third of the learning rate.
    """
    group = torch.from_numpy(ImageSet.load(ROOT / "data/processed/dev.npz").group[run.train])
    strong = run.config.augment.model_copy(
        update={"rotation": 20.0, "scale": 0.25, "shift": 0.15, "contrast": 0.4, "cutout": 0.3}
    )
    n_epochs = 40
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(run.seed)
        network: Any = ResNet(run.config.model).to(memory_format=torch.channels_last)
        n_in = network.fc.in_features
        network.fc = nn.Sequential(nn.Linear(n_in, n_in), nn.ReLU(), nn.Linear(n_in, 64))
        generator = torch.Generator().manual_seed(run.seed)
        inputs = training.as_tensor(images[run.train], find_hardware("cpu"))
        optimizer = torch.optim.AdamW(network.parameters(), lr=run.config.lr, weight_decay=0.05)
        n_steps = n_epochs * len(training._batch_sizes(len(inputs), 128))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            partial(training.learning_rate_factor, run.config.training, n_steps=n_steps),
        )
        for _ in range(n_epochs):
            for batch in training._batches(len(inputs), 128, generator):
                views = augment(inputs[batch].repeat(2, 1, 1, 1), strong, generator)
                z = functional.normalize(network(views), dim=1)
                other = torch.arange(len(z)).roll(len(batch))
                shown = group[batch].repeat(2)
                alike = shown[:, None] == shown
                alike[torch.arange(len(z)), other] = False
                similarity = (z @ z.T / 0.2).masked_fill(alike, -torch.inf)
                loss = functional.cross_entropy(similarity, other)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    weights = training.weights_of(network)
    start = {name: array for name, array in weights.items() if not name.startswith("fc.")}
    config = run.config.model_copy(update={"lr": run.config.lr / 3})
    return plain(replace(run, config=config, initial_weights=start), images, malignant)


SHARED = (plain, with_network, blocks_of, Blur, Rows, mixed, shaken)  # by several ideas
IDEAS: dict[str, Idea] = {
    "sharpness-aware minimisation": sharpness_aware,
    "cutmix": cutmix,
    "depth as a channel": depth_channel,
    "near-twins agree": twins_agree,
    "gain with depth": shading,
    "blur-pool": blur_pool,
    "average shortcut": average_shortcut,
    "distilled from three": distilled,
    "even average of the second half": second_half_average,
    "stochastic depth": stochastic_depth,
    "mixup": mixup,
    "average and max pooling": max_pool_too,
    "speckle": speckle,
    "elastic warps": elastic,
    "contrastive first": contrastive_first,
}


if __name__ == "__main__":
    main()
