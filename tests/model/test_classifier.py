"""The classifier against its computation written out, view by view and member by member."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model.classifier import Classifier, logits_of, predict, scale, views_of
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Arithmetic


@pytest.fixture(scope="module")
def images(dev: ImageSet) -> np.ndarray:
    return dev.images[:12]


@pytest.fixture(scope="module")
def members(config: TrainingConfig) -> list[nn.Module]:
    """Three untrained networks, of their own random weights each."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [ResNet(config.model).eval() for _ in range(3)]


def _plain(member: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return a network's logits of greys (N, 28, 28), scaled by hand, in one batch."""
    greys = torch.from_numpy((images.astype(np.float64) / 127.5 - 1).astype(np.float32))
    with torch.inference_mode():
        return member(greys[:, None]).numpy().astype(np.float64)


def _views(images: np.ndarray) -> list[np.ndarray]:
    """Return images (N, S, S) shifted across by 2/28 of the side either way, and the mirrors."""
    side, step = images.shape[1], images.shape[1] // 14
    padded = np.pad(images, ((0, 0), (0, 0), (step, step)), mode="edge")
    shifted = [padded[:, :, i : i + side] for i in (step, 0, 2 * step)]
    return [np.ascontiguousarray(v) for s in shifted for v in (s, s[:, :, ::-1])]


@pytest.mark.parametrize("test_time_augmentation", [False, True])
def test_it_is_the_computation_written_out(
    members: list[nn.Module], images: np.ndarray, test_time_augmentation: bool
) -> None:
    classifier = Classifier(members, "portable", test_time_augmentation, 1.7, -0.4)
    views = _views(images) if test_time_augmentation else [images]
    logits = np.array([np.mean([_plain(m, v) for v in views], axis=0) for m in members])
    np.testing.assert_allclose(logits_of(classifier, images, "cpu"), logits, atol=1e-5)
    found = predict(classifier, images, "cpu")
    np.testing.assert_allclose(found.probability, expit(logits.mean(axis=0) / 1.7 - 0.4), atol=1e-5)
    np.testing.assert_allclose(found.member_probability, expit(logits / 1.7 - 0.4), atol=1e-5)


def test_the_module_gives_what_predict_gives(members: list[nn.Module], images: np.ndarray) -> None:
    classifier = Classifier(members, "portable", True, 1.7, -0.4).eval()
    with torch.inference_mode():
        probability = classifier(torch.from_numpy(images))
    assert (probability.dtype, probability.shape) == (torch.float64, (len(images),))
    expected = predict(classifier, images, "cpu").probability
    np.testing.assert_allclose(probability, expected, atol=1e-6)


@pytest.mark.parametrize("enlarged", [1, 2, 8])
def test_views_are_shifts_by_two_twenty_eighths_and_their_mirrors(
    images: np.ndarray, enlarged: int
) -> None:
    images = images.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    found = [view.squeeze(1).numpy() for view in views_of(scale(torch.from_numpy(images)))]
    expected = [scale(torch.from_numpy(view)).squeeze(1).numpy() for view in _views(images)]
    assert sorted(v.tobytes() for v in found) == sorted(v.tobytes() for v in expected)
    assert len({v.tobytes() for v in found}) == 6
    assert any(np.array_equal(view, expected[0]) for view in found)


def test_views_make_mirrored_images_equal(members: list[nn.Module], images: np.ndarray) -> None:
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    for views, equal in ((True, True), (False, False)):
        classifier = Classifier(members, "portable", views)
        one, other = (logits_of(classifier, x, "cpu") for x in (images, mirrored))
        assert np.allclose(one, other, atol=1e-5) == equal


def test_greys_are_scaled_from_black_to_white() -> None:
    greys = torch.tensor([[[0, 51], [204, 255]]], dtype=torch.uint8)
    expected = torch.tensor([[[[-1, -0.6], [0.6, 1]]]])
    torch.testing.assert_close(scale(greys), expected)


def test_no_image_gives_no_logit(members: list[nn.Module], images: np.ndarray) -> None:
    classifier = Classifier(members, "portable", True)
    assert logits_of(classifier, images[:0], "cpu").shape == (3, 0)
    found = predict(classifier, images[:0], "cpu")
    assert (found.probability.shape, found.member_probability.shape) == ((0,), (3, 0))


def test_many_images_are_scored_as_few_are(members: list[nn.Module], images: np.ndarray) -> None:
    """In batches, of which none changes another."""
    many = np.tile(images, (45, 1, 1))
    assert len(many) > 2 * 256
    classifier = Classifier(members[:1], "portable", False)
    few = logits_of(classifier, images, "cpu")
    np.testing.assert_allclose(logits_of(classifier, many, "cpu"), np.tile(few, (1, 45)), atol=1e-5)


@pytest.mark.parametrize(("arithmetic", "rounds"), [("fp32", False), ("bf16", True)])
def test_an_ensemble_scores_in_the_arithmetic_it_was_trained_in(
    members: list[nn.Module], images: np.ndarray, arithmetic: Arithmetic, rounds: bool
) -> None:
    expected = np.array([_plain(member, images) for member in members])
    found = logits_of(Classifier(members, arithmetic, False), images, "cpu")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert np.allclose(found, expected, atol=1e-5) != rounds


def test_dropout_and_batch_statistics_do_not_reach_a_score(
    members: list[nn.Module], images: np.ndarray
) -> None:
    classifier = Classifier(members, "portable", False).train()
    whole = logits_of(classifier, images, "cpu")
    single = logits_of(classifier.train(), images[:1], "cpu")
    np.testing.assert_allclose(single, whole[:, :1], atol=1e-5)
