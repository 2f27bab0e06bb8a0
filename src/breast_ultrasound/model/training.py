"""One training, and the predictions of a trained network. Everything here decides results.

Nothing is read from the outside: device and precision come in a `Hardware`, randomness from a
seed. A single thread makes a training independent of how many run beside it.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from breast_ultrasound.files import InputError, read_json
from breast_ultrasound.model.augment import augment
from breast_ultrasound.model.losses import loss_of
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.params import AugmentParams, ModelParams, Section, TrainingParams

PREDICTION_BATCH = 256
VIEW_SHIFT = 2  # pixels


class TrainingConfig(Section):
    """Everything that one training is told, besides its images and its seed."""

    lr: float  # peak learning rate
    model: ModelParams
    training: TrainingParams
    augment: AugmentParams
    test_time_augmentation: bool  # predict the mean logit of an image's mirrored and shifted views
    recalibrate_batch_norm: (
        bool  # at the end, fit the norms and the mean logit to the training images as they are
    )


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
class Hardware:
    """What computes, and in which number format."""

    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16"]

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which a forward pass runs."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16")


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


def as_tensor(images: NDArray[np.uint8], hardware: Hardware) -> Tensor:
    """Return (N, H, W) uint8 greys as (N, 1, H, W) float32 from −1 to 1."""
    scaled = torch.from_numpy(images).to(torch.float32) / 127.5 - 1
    return scaled.unsqueeze(1).to(hardware.device)


def fit(
    config: TrainingConfig,
    images: NDArray[np.uint8],
    malignant: NDArray[np.bool_],
    seed: int,
    hardware: Hardware,
    validation: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None = None,
    initial_weights: Mapping[str, NDArray[np.float32]] | None = None,
) -> FitResult:
    """Train a network on images (N, H, W) uint8 with labels (N,) bool.

    Args:
        validation: images and labels; when given, the epoch with their best AUC is kept.
        initial_weights: by name; layers without any start from random ones.

    Raises:
        InputError: the training diverged.
    """
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # weights and dropout; order and augmentation have their own
        model = ResNet(config.model)
        if initial_weights is not None:
            load_weights(model, {**weights_of(model), **initial_weights})
        model = model.to(hardware.device).to(memory_format=torch.channels_last)
        return _fit(model, config, images, malignant, seed, hardware, validation)


def _fit(
    model: nn.Module,
    config: TrainingConfig,
    images: NDArray[np.uint8],
    malignant: NDArray[np.bool_],
    seed: int,
    hardware: Hardware,
    validation: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None,
) -> FitResult:
    training = config.training
    generator = torch.Generator().manual_seed(seed)
    inputs, targets = as_tensor(images, hardware), _targets(malignant, hardware)
    n_steps = training.n_epochs * len(_batch_sizes(len(inputs), training.batch_size))
    optimizer = _optimizer(model, config)
    scheduler = LambdaLR(optimizer, partial(learning_rate_factor, training, n_steps=n_steps))
    average = _average(model, training.ema_decay)
    losses, aucs = [], []
    best: dict[str, NDArray[np.float32]] = {}
    for _ in range(training.n_epochs):
        model.train()
        epoch_loss = 0.0
        for batch in _batches(len(inputs), training.batch_size, generator):
            x = augment(inputs[batch], config.augment, generator)
            with hardware.autocast():
                logits = model(x.contiguous(memory_format=torch.channels_last))
            loss = loss_of(logits.float(), targets[batch], training)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            if isinstance(average, AveragedModel):
                average.update_parameters(model)
            epoch_loss += loss.item() * len(batch) / len(inputs)
        losses.append(epoch_loss)
        if not all(tensor.isfinite().all() for tensor in average.state_dict().values()):
            raise InputError(
                f"a training at the learning rate {config.lr:g} diverged in epoch {len(losses)}: "
                "lower lr, tune_lr.high or grid_search.lr_multiplier"
            )
        if validation is not None:
            logits_now = predict(average, validation[0], hardware, config.test_time_augmentation)
            aucs.append(_auc(validation[1], logits_now))
            if aucs[-1] == max(aucs) and aucs.count(aucs[-1]) == 1:
                best = weights_of(average)
    if best:
        load_weights(_network(average), best)
    network = _network(average)
    if config.recalibrate_batch_norm:
        _recalibrate_batch_norm(network, images, malignant, training.batch_size, hardware)
    return FitResult(network, np.array(losses), np.array(aucs))


def _recalibrate_batch_norm(
    network: nn.Module,
    images: NDArray[np.uint8],
    malignant: NDArray[np.bool_],
    batch_size: int,
    hardware: Hardware,
) -> None:
    """Fit the norms' statistics and the mean logit to the training images, not augmented.

    The running statistics are of augmented images, and of weights that came before; the images to
    predict are not augmented (Touvron et al. 2019, https://arxiv.org/abs/1906.06423). The mean
    logit becomes the log odds of malignant: where trainings end, one is bolder towards malignant
    than another, which is noise where logits of several networks are put together.
    """
    batches = as_tensor(images, hardware).split(_batch_sizes(len(images), batch_size))
    with hardware.autocast():
        update_bn([x.contiguous(memory_format=torch.channels_last) for x in batches], network)
    n_malignant = malignant.sum()
    log_odds = np.log((n_malignant + 0.5) / (len(malignant) - n_malignant + 0.5))
    mean = predict(network, images, hardware, test_time_augmentation=False).mean()
    with torch.no_grad():
        network.get_parameter("fc.bias").add_(float(log_odds - mean))


def predict(
    model: nn.Module, images: NDArray[np.uint8], hardware: Hardware, test_time_augmentation: bool
) -> NDArray[np.float32]:
    """Return the logits of malignant, (N,) float32, of images (N, H, W) uint8."""
    torch.set_num_threads(1)
    model.eval()
    logits = []
    with torch.inference_mode():
        for batch in as_tensor(images, hardware).split(PREDICTION_BATCH):
            views = _views(batch) if test_time_augmentation else [batch]
            with hardware.autocast():
                scores = [
                    model(view.contiguous(memory_format=torch.channels_last)) for view in views
                ]
            logits.append(torch.stack(scores).float().mean(dim=0))
    return np.asarray(torch.cat(logits).cpu().numpy() if logits else [], dtype=np.float32)


def _views(images: Tensor) -> list[Tensor]:
    """Return images (B, 1, H, W) shifted by up to `VIEW_SHIFT` pixels, and the mirrors: 26 views.

    Every other shift, as the black fields of a chessboard with the image itself on one of them.
    """
    height, width = images.shape[-2:]
    padded = nn.functional.pad(images, (VIEW_SHIFT,) * 4, mode="replicate")
    places = range(2 * VIEW_SHIFT + 1)
    shifted = [
        padded[..., i : i + height, j : j + width]
        for i in places
        for j in places
        if (i + j) % 2 == 0
    ]
    return [*shifted, *(view.flip(3) for view in shifted)]


def weights_of(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Return the network's weights and buffers as arrays under their names."""
    state = _network(model).state_dict()
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}


def network_of(
    params: ModelParams, weights: Mapping[str, NDArray[Any]], hardware: Hardware
) -> nn.Module:
    """Return a network with the given weights, laid out in memory as it was trained."""
    network = ResNet(params)
    load_weights(network, weights)
    return network.to(hardware.device).to(memory_format=torch.channels_last)


def load_weights(model: nn.Module, weights: Mapping[str, NDArray[Any]]) -> None:
    """Put weights into the network; every name and shape must fit."""
    # A copy, since stored arrays may be read-only.
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


def _targets(malignant: NDArray[np.bool_], hardware: Hardware) -> Tensor:
    return torch.from_numpy(malignant.astype(np.float32)).to(hardware.device)


def _auc(malignant: NDArray[np.bool_], logits: NDArray[np.float32]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(malignant, logits))
