from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation.answers import Answer, answer
from breast_ultrasound.evaluation.judgement import judge
from breast_ultrasound.model.artifact import Ensemble, ModelCard
from breast_ultrasound.model.training import TrainingConfig, fit, weights_of
from tests.conftest import CPU


@pytest.fixture(scope="module")
def model(card: ModelCard, config: TrainingConfig, dev: ImageSet) -> Ensemble:
    """Of two networks that differ by one in every logit."""
    network = weights_of(fit(config, dev.images, dev.malignant, 0, CPU).model)
    return Ensemble(card, [{**network, "fc.bias": network["fc.bias"] + 1}, network])


def test_answers_are_the_judgement_a_picture_at_a_time(model: Ensemble, dev: ImageSet) -> None:
    judged = judge(model, dev.images, CPU)
    answers = answer(dev.images, model, dev, 0.95, CPU)
    assert [a.probability for a in answers] == judged.probability.tolist()
    assert [a.lowest for a in answers] == judged.single[1].tolist()
    assert [a.highest for a in answers] == judged.single[0].tolist()
    assert [a.malignant for a in answers] == (judged.probability >= 0.3).tolist()


@pytest.mark.parametrize("correlation", [0.95, 1.0])
def test_copies_are_known_whatever_rounding_does(
    model: Ensemble, dev: ImageSet, correlation: float
) -> None:
    answers = answer(dev.images, model, dev, correlation, CPU)
    for i, found in enumerate(answers):
        assert found.twin is not None
        assert np.array_equal(dev.images[found.twin], dev.images[i])


def test_what_is_a_copy_depends_on_the_correlation(
    model: Ensemble, dev: ImageSet, rng: np.random.Generator
) -> None:
    noisy = np.clip(dev.images[:1] + rng.normal(0, 10, (1, 28, 28)), 0, 255).astype(np.uint8)
    assert answer(noisy, model, dev, 0.8, CPU)[0].twin == 0
    assert answer(noisy, model, dev, 0.9999, CPU)[0].twin is None


def test_an_answer_says_what_it_is() -> None:
    first = Answer(probability=0.41, lowest=0.2, highest=0.62, malignant=True, twin=0)
    assert str(first) == (
        "malignant, probability of malignant 0.41 (networks from 0.20 to 0.62); "
        "near-twin of dev image 0"
    )
    assert first.row(Path("a.png")) == ["a.png", 0.41, 0.2, 0.62, 1, 0]
    other = Answer(probability=0.04, lowest=0.02, highest=0.06, malignant=False, twin=None)
    assert str(other) == "not malignant, probability of malignant 0.04 (networks from 0.02 to 0.06)"
    assert other.row(Path("b.png")) == ["b.png", 0.04, 0.02, 0.06, 0, ""]
