from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.prediction import Prediction, predict_images
from breast_ultrasound.files import InputError
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


def test_a_prediction_is_what_the_model_says_of_one_picture(
    model: TrainedModel, dev: ImageSet
) -> None:
    expected = predict(model.classifier(), dev.images, "cpu")
    rows = predict_images(dev.images, model, dev)
    assert [row.probability for row in rows] == expected.probability.tolist()
    assert [row.lowest for row in rows] == expected.member_probability[1].tolist()
    assert [row.highest for row in rows] == expected.member_probability[0].tolist()
    assert [row.malignant for row in rows] == (expected.probability >= 0.5).tolist()
    rows = predict_images(dev.images, model, dev, threshold=0.3)
    assert [row.malignant for row in rows] == (expected.probability >= 0.3).tolist()


@pytest.mark.parametrize("correlation", [0.95, 1.0])
def test_copies_are_known_whatever_rounding_does(
    model: TrainedModel, dev: ImageSet, correlation: float
) -> None:
    predictions = predict_images(dev.images, _with_cut(model, correlation), dev)
    for i, found in enumerate(predictions):
        assert found.near_duplicate is not None
        assert np.array_equal(dev.images[found.near_duplicate], dev.images[i])


def test_what_is_a_copy_depends_on_the_cut_of_the_card(
    model: TrainedModel, dev: ImageSet, rng: np.random.Generator
) -> None:
    noisy = np.clip(dev.images[:1] + rng.normal(0, 10, (1, 28, 28)), 0, 255).astype(np.uint8)
    assert predict_images(noisy, _with_cut(model, 0.8), dev)[0].near_duplicate == 0
    assert predict_images(noisy, _with_cut(model, 0.9999), dev)[0].near_duplicate is None


def test_other_dev_images_are_refused(model: TrainedModel, dev: ImageSet) -> None:
    with pytest.raises(InputError, match="expected the dev images of the model's pipeline"):
        predict_images(dev.images, model, replace(dev, malignant=~dev.malignant))


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_from_the_threshold_on_malignant_is_predicted(threshold: float) -> None:
    found = [
        Prediction(p, threshold, p, p, None).malignant
        for p in (0.0, np.nextafter(threshold, 0), threshold, 1.0)
    ]
    assert found == [False, False, True, True]


def test_a_prediction_says_what_it_is() -> None:
    first = Prediction(0.61, threshold=0.5, lowest=0.2, highest=0.72, near_duplicate=0)
    assert str(first) == (
        "malignant, probability of malignant 0.61 (networks from 0.20 to 0.72); "
        "near-duplicate of dev image 0"
    )
    assert first.row(Path("a.png")) == ["a.png", 0.61, 0.2, 0.72, 1, 0]
    other = Prediction(0.04, threshold=0.5, lowest=0.02, highest=0.06, near_duplicate=None)
    assert str(other) == "not malignant, probability of malignant 0.04 (networks from 0.02 to 0.06)"
    assert other.row(Path("b.png")) == ["b.png", 0.04, 0.02, 0.06, 0, ""]
