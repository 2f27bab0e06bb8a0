from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.model.training import (
    Hardware,
    TrainingConfig,
    _batch_sizes,
    _optimizer,
    as_tensor,
    fit,
    learning_rate_factor,
    predict,
    weights_of,
)
from tests.conftest import CPU

PLAIN_AUGMENT = dict.fromkeys(
    ["flip", "rotation", "scale", "shift", "contrast", "brightness", "cutout"], 0.0
)


def _with(config: TrainingConfig, **sections: Any) -> TrainingConfig:
    content = config.model_dump()
    for name, change in sections.items():
        content[name] = {**content[name], **change} if isinstance(change, dict) else change
    return TrainingConfig.model_validate(content)


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
    fitted = fit(eager, images, malignant, 0, CPU)
    assert (
        roc_auc_score(malignant, predict(fitted.model, images, CPU, test_time_augmentation=False))
        == 1
    )
    assert fitted.train_loss[-1] < 0.2 * fitted.train_loss[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_repeats_to_the_bit(
    config: TrainingConfig, dev: ImageSet, precision: Any
) -> None:
    hardware = Hardware("cpu", precision)
    runs = []
    for seed in (3, 3, 4):
        torch.rand(seed)  # the global generator must not matter
        fitted = fit(config, dev.images, dev.malignant, seed, hardware)
        logits = predict(fitted.model, dev.images, hardware, test_time_augmentation=True)
        runs.append({**weights_of(fitted.model), "logits": logits})
    assert all(np.array_equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not np.array_equal(runs[0]["logits"], runs[2]["logits"])


def test_a_training_leaves_the_global_generator_alone(
    config: TrainingConfig, dev: ImageSet
) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    fit(config, dev.images, dev.malignant, 0, CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_averaging_views_makes_mirrored_images_equal(config: TrainingConfig, dev: ImageSet) -> None:
    model = fit(config, dev.images, dev.malignant, 0, CPU).model
    mirrored = np.ascontiguousarray(dev.images[:, :, ::-1])
    straight, mirror = (
        predict(model, x, CPU, test_time_augmentation=True) for x in (dev.images, mirrored)
    )
    np.testing.assert_allclose(straight, mirror, atol=1e-5)
    plain = predict(model, dev.images, CPU, test_time_augmentation=False)
    assert not np.allclose(straight, plain, atol=1e-5)


def test_averaged_views_are_every_other_shift_by_up_to_two_pixels_and_mirrors(
    config: TrainingConfig, dev: ImageSet
) -> None:
    model = fit(config, dev.images, dev.malignant, 0, CPU).model
    padded = np.pad(dev.images, ((0, 0), (2, 2), (2, 2)), mode="edge")
    shifts = [(i, j) for i in range(5) for j in range(5) if i % 2 == j % 2]
    shifted = [padded[:, i : i + 28, j : j + 28] for i, j in shifts]
    views = [np.ascontiguousarray(v) for s in shifted for v in (s, s[:, :, ::-1])]
    assert len(views) == 26
    expected = np.mean(
        [predict(model, v, CPU, test_time_augmentation=False) for v in views], axis=0
    )
    averaged = predict(model, dev.images, CPU, test_time_augmentation=True)
    np.testing.assert_allclose(averaged, expected, atol=1e-5)


def test_the_best_epoch_by_validation_is_kept(config: TrainingConfig, dev: ImageSet) -> None:
    long = _with(config, training={"n_epochs": 6}, recalibrate_batch_norm=False)
    validation = dev.images[:30], dev.malignant[:30]
    fitted = fit(long, dev.images[30:], dev.malignant[30:], 0, CPU, validation)
    assert fitted.val_auc.shape == (6,)
    logits = predict(fitted.model, validation[0], CPU, long.test_time_augmentation)
    assert roc_auc_score(validation[1], logits) == fitted.val_auc.max()


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
    fitted = [fit(c, dev.images, dev.malignant, 0, CPU) for c in changed]
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
    with pytest.raises(InputError, match=r"learning rate 1e\+06 diverged .* lower lr"):
        fit(wild, dev.images, dev.malignant, 0, CPU)


def test_no_image_gives_no_logit(config: TrainingConfig, dev: ImageSet) -> None:
    model = fit(config, dev.images, dev.malignant, 0, CPU).model
    assert predict(model, dev.images[:0], CPU, test_time_augmentation=True).shape == (0,)


def test_initial_weights_are_where_training_starts(config: TrainingConfig, dev: ImageSet) -> None:
    start = fit(config, dev.images, dev.malignant, 0, CPU)
    still = _with(config, lr=1e-12, training={"weight_decay": 0.0, "ema_decay": 0.0})
    given = {k: v for k, v in weights_of(start.model).items() if k.startswith("conv1")}
    after = weights_of(fit(still, dev.images, dev.malignant, 1, CPU, initial_weights=given).model)
    np.testing.assert_allclose(after["conv1.weight"], given["conv1.weight"], atol=1e-6)
    with pytest.raises(RuntimeError, match=r"size mismatch|Unexpected"):
        fit(config, dev.images, dev.malignant, 0, CPU, initial_weights={"odd": np.zeros(1)})


def test_recalibrated_networks_fit_the_training_images_as_they_are(
    config: TrainingConfig, dev: ImageSet
) -> None:
    one_batch = _with(config, training={"batch_size": len(dev)})
    loose, recalibrated = (
        fit(
            _with(one_batch, recalibrate_batch_norm=recalibrate_batch_norm),
            dev.images,
            dev.malignant,
            0,
            CPU,
        ).model
        for recalibrate_batch_norm in (False, True)
    )
    logits = predict(recalibrated, dev.images, CPU, test_time_augmentation=False)
    share = (dev.malignant.sum() + 0.5) / (len(dev) + 1)
    assert logits.mean() == pytest.approx(np.log(share / (1 - share)), abs=1e-4)
    # One batch of all images: the first norm's statistics must be those of the first convolution.
    for model, fits in ((loose, False), (recalibrated, True)):
        first = model.get_submodule("conv1")(as_tensor(dev.images, CPU))
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
