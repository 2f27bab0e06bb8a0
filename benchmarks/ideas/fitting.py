"""Ideas that change the targets, the steps, or what the weights start from."""

from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from benchmarks.ideas.plain import plain
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.model import training
from breast_ultrasound.model.augment import augment
from breast_ultrasound.model.losses import loss_of
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import AugmentParams, TrainingParams
from breast_ultrasound.runs.execute import find_hardware
from breast_ultrasound.runs.run import Run, RunResult


def twins_agree(run: Run, dev: ImageSet) -> RunResult:
    """Give near-twins the mean of their labels as target: some contradict each other."""
    _, index = np.unique(dev.group[run.train], return_inverse=True)
    means = np.bincount(index, dev.malignant[run.train]) / np.bincount(index)
    targets = torch.from_numpy(means[index].astype(np.float32))
    with mock.patch.object(training, "_targets", return_value=targets):
        return plain(run, dev)


def second_half_average(run: Run, dev: ImageSet) -> RunResult:
    """Average the weights of the second half of the steps evenly (SWA, arXiv 1803.05407)."""
    batches = len(training._batch_sizes(len(run.train), run.config.training.batch_size))
    half = batches * run.config.training.n_epochs // 2

    def mean(averaged: Any, current: Any, n_averaged: Any) -> None:
        n = max(int(n_averaged) - half, 0)
        for a, c in zip(averaged, current, strict=True):
            a.lerp_(c, 1 / (n + 1)) if a.is_floating_point() else a.copy_(c)

    def average(model: nn.Module, _: float) -> nn.Module:
        return AveragedModel(model, multi_avg_fn=mean, use_buffers=True)

    with mock.patch.object(training, "_average", average):
        return plain(run, dev)


def sharpness_aware(run: Run, dev: ImageSet) -> RunResult:
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
            weights: list[Tensor] = [p for p in model.parameters() if p.grad is not None]
            buffers = [b.clone() for b in model.buffers()]
            gradients = [p.grad for p in weights if p.grad is not None]
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
        return plain(run, dev)


def distilled(run: Run, dev: ImageSet) -> RunResult:
    """Learn what three networks say together about each augmented image, not the labels."""
    hardware = find_hardware("cpu")
    teachers = []
    for member in range(1, 4):
        teacher = replace(run, seed=run.seed + member, keep_weights=True)
        weights = plain(teacher, dev).weights
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
        return plain(run, dev)


def contrastive_first(run: Run, dev: ImageSet) -> RunResult:
    """Learn first, without labels, which two views are of one training image (arXiv 2002.05709).

    Near-twins are not held against each other. What follows has a third of the learning rate.
    """
    group = torch.from_numpy(dev.group[run.train])
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
        inputs = training.as_tensor(dev.images[run.train], find_hardware("cpu"))
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
    return plain(replace(run, config=config, initial_weights=start), dev)
