import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from breast_ultrasound.evaluation.calibration import (
    PLAIN,
    Decision,
    best_threshold,
    choose_decision,
    fit_temperature,
)


def test_the_temperature_that_made_the_labels_is_found() -> None:
    rng = np.random.default_rng(0)
    true_logits = rng.normal(0, 2, 20_000)
    malignant = rng.random(20_000) < expit(true_logits)
    for temperature in (0.5, 1.0, 3.0):
        found = fit_temperature(true_logits * temperature, malignant)
        assert found == pytest.approx(temperature, rel=0.05)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 40))
def test_no_threshold_is_more_accurate(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    probability = np.round(rng.random(n), 1)  # with ties
    malignant = rng.random(n) < probability
    chosen = best_threshold(probability, malignant)
    accuracy = ((probability >= chosen) == malignant).mean()
    for other in np.linspace(0, 1, 101):
        assert accuracy >= ((probability >= other) == malignant).mean()


def test_of_equal_thresholds_the_one_nearest_to_half_is_taken() -> None:
    probability, malignant = np.array([0.1, 0.4, 0.8]), np.array([False, False, True])
    assert best_threshold(probability, malignant) == pytest.approx(0.6)


def test_a_decision_keeps_the_order_and_plain_changes_nothing() -> None:
    logits = np.linspace(-5, 5, 11).astype(np.float32)
    np.testing.assert_allclose(PLAIN.probability(logits), expit(logits.astype(float)))
    tempered = Decision(4.0, 0.3).probability(logits)
    assert (np.diff(tempered) > 0).all()
    malignant = logits > 1
    chosen = choose_decision(logits, malignant)
    assert ((chosen.probability(logits) >= chosen.threshold) == malignant).all()
