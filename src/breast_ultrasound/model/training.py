"""One training. Everything here decides results.

Nothing is read from the outside: the device comes in, randomness from a seed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from breast_ultrasound.files import InputError, read_json
from breast_ultrasound.model.arithmetic import Device
from breast_ultrasound.model.augment import augment
from breast_ultrasound.model.classifier import Classifier, logits_of, reproducible, scale
from breast_ultrasound.model.losses import loss_of
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.params import AugmentParams, ModelParams, Section, TrainingParams
from breast_ultrasound.ranking import auc


class TrainingConfig(Section):
    """Everything that one training is told, besides its images and its seed."""

    lr: float  # peak learning rate
    model: ModelParams
    training: TrainingParams
    augment: AugmentParams
    test_time_augmentation: bool  # predict the mean logit of mirrored and shifted views
    recalibrate_batch_norm: bool  # at the end, on the training images as they are


def read_config(path: Path) -> TrainingConfig:
    """Read a configuration that a search has written as JSON.

    Raises:
        InputError: the file is missing or holds something else.
    """
    try:
        return TrainingConfig.model_validate(read_json(path))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(f"{path}: {where}: not a configuration; run `dvc repro` again") from None


@dataclass(frozen=True)
class TrainingSet:
    """The images to learn from, among N that may be mapped from a file: batches are read from it.

    Attributes:
        images: (N, S, S) uint8.
        malignant: (N,) bool.
        chosen: (T,) int64, indices of the images to learn from.
    """

    images: NDArray[np.uint8]
    malignant: NDArray[np.bool_]
    chosen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chosen)

    def batch(self, places: NDArray[np.int64], device: Device) -> Tensor:
        """Return the scaled images (B, 1, S, S) at `places` among the chosen."""
        return scale(torch.from_numpy(self.images[self.chosen[places]]).to(device))


@dataclass(frozen=True)
class FitResult:
    """A trained network and how it went.

    Attributes:
        model: the network to predict with (its average over the steps, where one is kept).
        train_loss: (n_epochs,) float64, mean training loss of each epoch.
        val_auc: (n_epochs,) float64 where the best epoch was chosen, else (0,).
    """

    model: nn.Module
    train_loss: NDArray[np.float64]
    val_auc: NDArray[np.float64]


class DivergedError(Exception):
    """A training whose weights are no longer finite."""


def fit(
    config: TrainingConfig,
    data: TrainingSet,
    seed: int,
    device: Device = "cpu",
    validation: NDArray[np.int64] | None = None,
    initial_weights: Mapping[str, NDArray[np.float32]] | None = None,
) -> FitResult:
    """Train a network.

    Args:
        validation: indices into the images of `data`; when given, the epoch with their best AUC is
            kept.
        initial_weights: by name; layers without any start from random ones.

    Raises:
        DivergedError: the weights are no longer finite.
    """
    with reproducible(device), torch.random.fork_rng():
        torch.manual_seed(seed)  # weights and dropout; order and augmentation have their own
        model = _network_to_train(config, initial_weights).to(device)
        average = _average(model, config.training.ema_decay)
        classifier = classifier_of(config, [_network(average)])
        generator = torch.Generator().manual_seed(seed)
        losses, aucs = [], []
        best: dict[str, NDArray[np.float32]] = {}
        for loss in _epochs(model, average, config, data, device, generator):
            losses.append(loss)
            if validation is not None:
                logits = logits_of(classifier, data.images, device, validation)[0]
                aucs.append(auc(data.malignant[validation], logits))
                if aucs[-1] > max(aucs[:-1], default=-1.0):
                    best = weights_of(average)
        if best:
            load_weights(_network(average), best)
        if config.recalibrate_batch_norm:
            _recalibrate_batch_norm(config, _network(average), data, device)
    return FitResult(_network(average), np.array(losses), np.array(aucs))


def _network_to_train(
    config: TrainingConfig, initial_weights: Mapping[str, NDArray[np.float32]] | None
) -> nn.Module:
    """Return a new network, laid out in memory as convolutions are fastest on it."""
    model = ResNet(config.model)
    if initial_weights is not None:
        load_weights(model, {**weights_of(model), **initial_weights})
    return model.to(memory_format=torch.channels_last)


def _epochs(
    model: nn.Module,
    average: nn.Module,
    config: TrainingConfig,
    data: TrainingSet,
    device: Device,
    generator: torch.Generator,
) -> Iterator[float]:
    """Train epoch by epoch, and yield the mean loss of each."""
    training = config.training
    targets = torch.from_numpy(data.malignant[data.chosen].astype(np.float32)).to(device)
    n_steps = training.n_epochs * len(_batch_sizes(len(data), training.batch_size))
    optimizer = _optimizer(model, config)
    scheduler = LambdaLR(optimizer, partial(learning_rate_factor, training, n_steps=n_steps))
    for _ in range(training.n_epochs):
        model.train()
        epoch_loss = 0.0
        for batch in _batches(len(data), training.batch_size, generator):
            x = augment(data.batch(batch.numpy(), device), config.augment, generator)
            with torch.autocast(x.device.type, torch.bfloat16, training.arithmetic == "bf16"):
                logits = model(x.contiguous(memory_format=torch.channels_last))
            loss = loss_of(logits.float(), targets[batch], training)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            if isinstance(average, AveragedModel):
                average.update_parameters(model)
            epoch_loss += loss.item() * len(batch) / len(data)
        if not all(tensor.isfinite().all() for tensor in average.state_dict().values()):
            raise DivergedError
        yield epoch_loss


def _recalibrate_batch_norm(
    config: TrainingConfig,
    network: nn.Module,
    data: TrainingSet,
    device: Device,
) -> None:
    """Fit the norms' statistics and the mean logit to the training images, not augmented.

    The running statistics are of augmented images, and of weights that came before; the images to
    predict are not augmented (Touvron et al. 2019, https://arxiv.org/abs/1906.06423). The mean
    logit becomes the log odds of malignant: where trainings end, one is bolder towards malignant
    than another, which is noise where logits of several networks are put together.
    """
    sizes = _batch_sizes(len(data), config.training.batch_size)
    places = np.split(np.arange(len(data)), np.cumsum(sizes)[:-1])
    batches = (data.batch(part, device) for part in places)
    with torch.autocast(device, torch.bfloat16, config.training.arithmetic == "bf16"):
        update_bn((x.contiguous(memory_format=torch.channels_last) for x in batches), network)
    n_malignant = int(data.malignant[data.chosen].sum())
    log_odds = math.log((n_malignant + 0.5) / (len(data) - n_malignant + 0.5))
    plain = classifier_of(config.model_copy(update={"test_time_augmentation": False}), [network])
    logits = logits_of(plain, data.images, device, data.chosen)[0]
    with torch.no_grad():
        network.get_parameter("fc.bias").add_(log_odds - math.fsum(logits) / len(logits))


def classifier_of(config: TrainingConfig, members: Sequence[nn.Module]) -> Classifier:
    """Return networks of a configuration as a classifier, not calibrated."""
    return Classifier(members, config.training.arithmetic, config.test_time_augmentation)


def weights_of(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Return the network's weights and buffers as arrays under their names."""
    state = _network(model).state_dict()
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}


def network_of(params: ModelParams, weights: Mapping[str, NDArray[Any]]) -> nn.Module:
    """Return a network with the given weights, laid out in memory as it was trained."""
    network = ResNet(params)
    load_weights(network, weights)
    return network.to(memory_format=torch.channels_last)


def load_weights(model: nn.Module, weights: Mapping[str, NDArray[Any]]) -> None:
    """Put weights into the network; every name and shape must fit."""
    # A copy, since arrays from a file may be read-only.
    model.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in weights.items()})


def _network(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, AveragedModel) else model


def _average(model: nn.Module, decay: float) -> nn.Module:
    """Return an exponential moving average of the network, or the network itself."""
    if decay == 0:
        return model
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimiser; norms and biases are not decayed."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim > 1]},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    decay = config.training.weight_decay
    match config.training.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=config.lr, weight_decay=decay, fused=True)
        case "sgd":
            return torch.optim.SGD(
                groups, lr=config.lr, weight_decay=decay, momentum=0.9, nesterov=True
            )


def learning_rate_factor(training: TrainingParams, step: int, n_steps: int) -> float:
    """Return the learning rate of a step, from 0 to `n_steps` − 1, as a fraction of the peak.

    One cycle rises from 1/25 of the peak over the warm-up and falls to nothing, both as half a
    cosine (Smith and Topin 2018, https://arxiv.org/abs/1708.07120). Torch's OneCycleLR divides
    by zero where the warm-up is a single step.
    """
    if training.schedule == "constant":
        return 1.0
    peak = training.warmup * n_steps
    if step < peak:
        return 1 + (1 / 25 - 1) * (1 + math.cos(math.pi * step / peak)) / 2
    return (1 + math.cos(math.pi * (step - peak) / (n_steps - peak))) / 2


def _batch_sizes(n_images: int, batch_size: int) -> list[int]:
    """Cut an epoch into even batches of at most `batch_size`, of 3 and more none of one image."""
    n_batches = math.ceil(n_images / batch_size)
    return [len(part) for part in np.array_split(np.arange(n_images), n_batches)]


def _batches(n_images: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(n_images, generator=generator)
    yield from order.split(_batch_sizes(n_images, batch_size))
