from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.prediction import Prediction, predict_images
from breast_ultrasound.model.artifact import ModelCard, TrainedModel
from breast_ultrasound.model.classifier import predict
from breast_ultrasound.model.training import TrainingConfig, fit, weights_of
from tests.training_sets import training_set


@pytest.fixture(scope="module")
def model(card: ModelCard, config: TrainingConfig, dev: ImageSet) -> TrainedModel:
    """Of two networks that differ by one in every logit."""
    network = weights_of(fit(config, training_set(dev), 0).model)
    return TrainedModel(card, [{**network, "fc.bias": network["fc.bias"] + 1}, network])


def _with_cut(model: TrainedModel, correlation: float) -> TrainedModel:
    """Return the model with another near-duplicate cut on its card."""
    changed = {"near_duplicate_correlation": correlation}
    return replace(model, card=model.card.model_copy(update=changed))


def _named(images: np.ndarray) -> list[tuple[str, np.ndarray]]:
    return [(str(i), image) for i, image in enumerate(images)]


def test_a_prediction_is_what_the_model_says_of_one_image(
    model: TrainedModel, dev: ImageSet
) -> None:
    images = np.tile(dev.images[:65], (4, 1, 1))  # two batches
    assert len(images) > 256
    expected = predict(model.classifier(), images, "cpu")
    rows = list(predict_images(_named(images), model, dev.thumbnails))
    np.testing.assert_allclose([row.probability for row in rows], expected.probability, atol=1e-6)
    lowest, highest = expected.member_probability[1], expected.member_probability[0]
    np.testing.assert_allclose([row.lowest for row in rows], lowest, atol=1e-6)
    np.testing.assert_allclose([row.highest for row in rows], highest, atol=1e-6)
    assert [row.image for row in rows] == [str(i) for i in range(len(images))]
    for threshold in (0.5, 0.3):
        rows = list(predict_images(_named(images[:9]), model, None, threshold))
        assert [row.malignant for row in rows] == [row.probability >= threshold for row in rows]


def test_images_are_read_as_they_are_predicted(model: TrainedModel, dev: ImageSet) -> None:
    """Not all before the first: there may be more than memory holds."""
    seen: list[int] = []

    def endless() -> Iterator[tuple[str, np.ndarray]]:
        for i in count():
            seen.append(i)
            yield str(i), dev.images[0]

    predictions = predict_images(endless(), model, None)
    assert next(predictions).image == "0"
    assert len(seen) <= 256


@pytest.mark.parametrize("correlation", [0.95, 1.0])
def test_copies_are_known_whatever_rounding_does(
    model: TrainedModel, dev: ImageSet, correlation: float
) -> None:
    told = _with_cut(model, correlation)
    for i, found in enumerate(predict_images(_named(dev.images), told, dev.thumbnails)):
        assert found.near_duplicate is not None
        assert np.array_equal(dev.images[found.near_duplicate], dev.images[i])


def test_what_is_a_copy_depends_on_the_cut_of_the_card(
    model: TrainedModel, dev: ImageSet, rng: np.random.Generator
) -> None:
    noisy = np.clip(dev.images[:1] + rng.normal(0, 10, (1, 28, 28)), 0, 255).astype(np.uint8)
    for cut, expected in ((0.8, 0), (0.9999, None)):
        (found,) = predict_images(_named(noisy), _with_cut(model, cut), dev.thumbnails)
        assert found.near_duplicate == expected
    (found,) = predict_images(_named(dev.images[:1]), model, None)
    assert found.near_duplicate is None


def test_what_is_unlike_everything_learned_is_told(
    model: TrainedModel, dev: ImageSet, rng: np.random.Generator
) -> None:
    noise = rng.integers(0, 256, (1, 28, 28), dtype=np.uint8)
    images = _named(np.concatenate([dev.images[:1], noise]))
    told = [one.unlike for one in predict_images(images, model, dev.thumbnails)]
    assert told == [False, True]
    assert not any(one.unlike for one in predict_images(images, model, None))


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_from_the_threshold_on_malignant_is_predicted(threshold: float) -> None:
    found = [
        Prediction("", p, threshold, p, p, None, unlike=False).malignant
        for p in (0.0, np.nextafter(threshold, 0), threshold, 1.0)
    ]
    assert found == [False, False, True, True]
