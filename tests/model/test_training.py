from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model.classifier import logits_of, predict, scale
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.model.training import (
    DivergedError,
    TrainingConfig,
    _batch_sizes,
    _optimizer,
    classifier_of,
    fit,
    learning_rate_factor,
    weights_of,
)
from breast_ultrasound.params import NO_AUGMENTATION
from breast_ultrasound.ranking import auc
from tests.training_sets import training_set

PLAIN_AUGMENT = NO_AUGMENTATION.model_dump()


def _with(config: TrainingConfig, **sections: Any) -> TrainingConfig:
    content = config.model_dump()
    for name, change in sections.items():
        content[name] = {**content[name], **change} if isinstance(change, dict) else change
    return TrainingConfig.model_validate(content)


def _logits(
    config: TrainingConfig, model: nn.Module, images: np.ndarray, views: bool = False
) -> np.ndarray:
    """Return the logits of one network, by its images as they are or by their views."""
    told = _with(config, test_time_augmentation=views)
    return logits_of(classifier_of(told, [model]), images, "cpu")[0]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("loss", ["bce", "focal", "pairwise_auc"])
def test_a_network_learns_eight_images_by_heart(
    config: TrainingConfig, dev: ImageSet, loss: str, optimizer: str
) -> None:
    chosen = np.concatenate([np.nonzero(dev.malignant)[0][:4], np.nonzero(~dev.malignant)[0][:4]])
    images, malignant = dev.images[chosen], dev.malignant[chosen]
    eager = _with(
        config,
        lr=0.05 if optimizer == "sgd" else 0.01,
        training={"n_epochs": 60, "loss": loss, "optimizer": optimizer, "label_smoothing": 0.0},
        augment=PLAIN_AUGMENT,
        model={"width": 8},
    )
    fitted = fit(eager, training_set(dev, chosen), 0)
    assert roc_auc_score(malignant, _logits(eager, fitted.model, images)) == 1
    assert fitted.train_loss[-1] < 0.2 * fitted.train_loss[0]


@pytest.mark.parametrize("arithmetic", ["portable", pytest.param("bf16", marks=pytest.mark.slow)])
def test_a_training_repeats_to_the_bit(
    config: TrainingConfig, dev: ImageSet, arithmetic: str
) -> None:
    told = _with(config, training={"arithmetic": arithmetic})
    runs = []
    for seed in (3, 3, 4):
        torch.rand(seed)  # the global generator must not matter
        fitted = fit(told, training_set(dev), seed)
        logits = _logits(told, fitted.model, dev.images, views=True)
        runs.append({**weights_of(fitted.model), "logits": logits})
    assert all(np.array_equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not np.array_equal(runs[0]["logits"], runs[2]["logits"])


# MKL computes them, in single precision with digits of the CPU's own (docs/lab-notes.md).
VECTOR_FUNCTIONS = (
    {"acos", "asin", "atan", "cos", "erf", "erfc", "erfinv", "exp", "expm1", "log", "log10"}
    | {"log1p", "log2", "rsqrt", "sin", "sqrt", "tan", "tanh"}
)  # fmt: skip


class _Called(TorchDispatchMode):
    """Notes the operations on tensors of single precision, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if any(isinstance(a, torch.Tensor) and a.dtype == torch.float32 for a in args):
            self.names.add(func.overloadpacket.__name__.rstrip("_"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", ["bce", "focal", "pairwise_auc"])
def test_a_training_calls_no_function_that_mkl_rounds_by_cpu(
    config: TrainingConfig, dev: ImageSet, loss: str
) -> None:
    told = _with(
        config,
        model={"standardise": "local", "width": 8, "dropout": 0.2},
        training={"loss": loss},
        augment={**PLAIN_AUGMENT, "rotation": 10, "gamma": 0.4, "cutout": 0.2},
    )
    with _Called() as called:
        fitted = fit(told, training_set(dev), 0)
        _logits(told, fitted.model, dev.images, views=True)
    assert not called.names & VECTOR_FUNCTIONS
    assert {"convolution", "std"} <= called.names
    with _Called() as called:  # what it would see
        torch.ones(1).sqrt_()
    assert called.names & VECTOR_FUNCTIONS == {"sqrt"}


def test_a_training_leaves_the_global_generator_alone(
    config: TrainingConfig, dev: ImageSet
) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    fit(config, training_set(dev), 0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("settings", [(3, True, True, True), (2, False, False, False)])
def test_torch_is_left_as_it_was_found(
    config: TrainingConfig, dev: ImageSet, settings: tuple[int, bool, bool, bool]
) -> None:
    """By trainings that end well or not, and by scoring: a host program has its own settings."""
    before = _torch_settings()
    n_threads, deterministic, warn_only, benchmark = settings
    wild = _with(config, lr=1e6, training={"optimizer": "sgd", "n_epochs": 5})
    try:
        torch.set_num_threads(n_threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        assert _torch_settings() == settings
        fitted = fit(config, training_set(dev), 0)
        assert _torch_settings() == settings
        predict(classifier_of(config, [fitted.model]), dev.images, "cpu")
        assert _torch_settings() == settings
        with pytest.raises(DivergedError):
            fit(wild, training_set(dev), 0)
        assert _torch_settings() == settings
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        torch.backends.cudnn.benchmark = before[3]


def _torch_settings() -> tuple[int, bool, bool, bool]:
    return (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )


def test_the_best_epoch_by_validation_is_kept(config: TrainingConfig, dev: ImageSet) -> None:
    long = _with(config, training={"n_epochs": 6}, recalibrate_batch_norm=False)
    learned = training_set(dev, np.arange(30, len(dev)))
    fitted = fit(long, learned, 0, validation=np.arange(30))
    assert fitted.val_auc.shape == (6,)
    logits = _logits(long, fitted.model, dev.images[:30], views=True)
    assert auc(dev.malignant[:30], logits) == fitted.val_auc.max()


@settings(deadline=None)
@given(n_images=st.integers(2, 3000), batch_size=st.integers(3, 1024))
def test_no_batch_is_of_one_image(n_images: int, batch_size: int) -> None:
    sizes = _batch_sizes(n_images, batch_size)
    assert sum(sizes) == n_images
    assert 2 <= min(sizes) <= max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_augmentation_and_average_are_used(config: TrainingConfig, dev: ImageSet) -> None:
    plain = _with(
        config, recalibrate_batch_norm=False, augment=PLAIN_AUGMENT, training={"ema_decay": 0.0}
    )
    changed = [
        plain,
        _with(plain, augment={"flip": 0.5}),
        _with(plain, training={"ema_decay": 0.5}),
    ]
    fitted = [fit(c, training_set(dev), 0) for c in changed]
    one, mirrored, averaged = (weights_of(f.model)["conv1.weight"] for f in fitted)
    assert not np.array_equal(one, mirrored)
    assert not np.array_equal(one, averaged)
    assert np.array_equal(fitted[0].train_loss, fitted[2].train_loss)  # an average steers nothing


def test_norms_and_biases_do_not_decay(config: TrainingConfig) -> None:
    decayed, free = _optimizer(ResNet(config.model), config).param_groups
    assert decayed["weight_decay"] == config.training.weight_decay > 0 == free["weight_decay"]
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in free["params"]} == {1}


def test_a_training_that_diverges_says_so(config: TrainingConfig, dev: ImageSet) -> None:
    wild = _with(config, lr=1e6, training={"optimizer": "sgd", "n_epochs": 5})
    with pytest.raises(DivergedError):
        fit(wild, training_set(dev), 0)


def test_initial_weights_are_where_training_starts(config: TrainingConfig, dev: ImageSet) -> None:
    start = fit(config, training_set(dev), 0)
    still = _with(config, lr=1e-12, training={"weight_decay": 0.0, "ema_decay": 0.0})
    given = {k: v for k, v in weights_of(start.model).items() if k.startswith("conv1")}
    after = weights_of(fit(still, training_set(dev), 1, initial_weights=given).model)
    np.testing.assert_allclose(after["conv1.weight"], given["conv1.weight"], atol=1e-6)
    with pytest.raises(RuntimeError, match=r"size mismatch|Unexpected"):
        fit(config, training_set(dev), 0, initial_weights={"odd": np.zeros(1)})


def test_recalibrated_networks_fit_the_training_images_as_they_are(
    config: TrainingConfig, dev: ImageSet
) -> None:
    config = _with(config, model={"standardise": "none"})  # the first convolution sees the images
    one_batch = _with(config, training={"batch_size": len(dev)})
    loose, recalibrated = (
        fit(
            _with(one_batch, recalibrate_batch_norm=recalibrate_batch_norm),
            training_set(dev),
            0,
        ).model
        for recalibrate_batch_norm in (False, True)
    )
    logits = _logits(config, recalibrated, dev.images)
    share = (dev.malignant.sum() + 0.5) / (len(dev) + 1)
    assert logits.mean() == pytest.approx(np.log(share / (1 - share)), abs=1e-4)
    # One batch of all images: the first norm's statistics must be those of the first convolution.
    for model, fits in ((loose, False), (recalibrated, True)):
        first = model.get_submodule("conv1")(scale(torch.from_numpy(dev.images)))
        norm = model.get_submodule("bn1")
        mean, variance = first.mean(dim=(0, 2, 3)), first.var(dim=(0, 2, 3))
        assert torch.allclose(mean, norm.running_mean, atol=1e-4) == fits
        assert torch.allclose(variance, norm.running_var, rtol=1e-3) == fits


@pytest.mark.parametrize("n_steps", [1, 2, 5, 7, 270])
def test_one_cycle_rises_to_the_peak_and_falls_to_nothing(
    config: TrainingConfig, n_steps: int
) -> None:
    training = config.training
    factors = np.array([learning_rate_factor(training, i, n_steps) for i in range(n_steps + 1)])
    assert factors[-1] == pytest.approx(0)
    assert ((factors >= 0) & (factors <= 1)).all()
    peak = factors.argmax()
    assert (np.diff(factors[: peak + 1]) > 0).all()
    assert (np.diff(factors[peak:]) < 0).all()
    if n_steps == 270:
        assert factors[0] == pytest.approx(1 / 25)
        assert peak == 0.2 * 270
        assert factors[peak] == pytest.approx(1)
