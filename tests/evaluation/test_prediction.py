from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation.model_scores import predict_with
from breast_ultrasound.evaluation.prediction import Prediction, predict_images
from breast_ultrasound.model.artifact import Ensemble, ModelCard
from breast_ultrasound.model.training import TrainingConfig, fit, weights_of
from tests.conftest import CPU


@pytest.fixture(scope="module")
def model(card: ModelCard, config: TrainingConfig, dev: ImageSet) -> Ensemble:
    """Of two networks that differ by one in every logit."""
    network = weights_of(fit(config, dev.images, dev.malignant, 0, CPU).model)
    return Ensemble(card, [{**network, "fc.bias": network["fc.bias"] + 1}, network])


def test_a_prediction_is_what_the_model_says_of_one_picture(model: Ensemble, dev: ImageSet) -> None:
    expected = predict_with(model, dev.images, CPU)
    rows = predict_images(dev.images, model, dev, 0.95, CPU)
    assert [row.probability for row in rows] == expected.probability.tolist()
    assert [row.lowest for row in rows] == expected.single[1].tolist()
    assert [row.highest for row in rows] == expected.single[0].tolist()
    assert [row.malignant for row in rows] == (expected.probability >= 0.3).tolist()


@pytest.mark.parametrize("correlation", [0.95, 1.0])
def test_copies_are_known_whatever_rounding_does(
    model: Ensemble, dev: ImageSet, correlation: float
) -> None:
    predictions = predict_images(dev.images, model, dev, correlation, CPU)
    for i, found in enumerate(predictions):
        assert found.near_duplicate is not None
        assert np.array_equal(dev.images[found.near_duplicate], dev.images[i])


def test_what_is_a_copy_depends_on_the_correlation(
    model: Ensemble, dev: ImageSet, rng: np.random.Generator
) -> None:
    noisy = np.clip(dev.images[:1] + rng.normal(0, 10, (1, 28, 28)), 0, 255).astype(np.uint8)
    assert predict_images(noisy, model, dev, 0.8, CPU)[0].near_duplicate == 0
    assert predict_images(noisy, model, dev, 0.9999, CPU)[0].near_duplicate is None


def test_an_answer_says_what_it_is() -> None:
    first = Prediction(probability=0.41, lowest=0.2, highest=0.62, malignant=True, near_duplicate=0)
    assert str(first) == (
        "malignant, probability of malignant 0.41 (networks from 0.20 to 0.62); "
        "near-duplicate of dev image 0"
    )
    assert first.row(Path("a.png")) == ["a.png", 0.41, 0.2, 0.62, 1, 0]
    other = Prediction(
        probability=0.04, lowest=0.02, highest=0.06, malignant=False, near_duplicate=None
    )
    assert str(other) == "not malignant, probability of malignant 0.04 (networks from 0.02 to 0.06)"
    assert other.row(Path("b.png")) == ["b.png", 0.04, 0.02, 0.06, 0, ""]
