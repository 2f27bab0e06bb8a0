import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from breast_ultrasound.evaluation.calibration import PLAIN, Decision, choose_decision


def test_the_calibration_that_made_the_labels_is_found() -> None:
    rng = np.random.default_rng(0)
    true_logits = rng.normal(0, 2, 20_000)
    malignant = rng.random(20_000) < expit(true_logits)
    for temperature, offset in ((0.5, 0.0), (1.0, -1.0), (3.0, 2.0)):
        found = choose_decision((true_logits - offset) * temperature, malignant)
        assert found.temperature == pytest.approx(temperature, rel=0.05)
        assert found.offset == pytest.approx(offset, abs=0.06)


def test_it_is_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=300)
    malignant = rng.random(300) < expit(logits - 1)
    theirs = LogisticRegression(C=np.inf).fit(logits[:, None], malignant)
    ours = choose_decision(logits, malignant)
    expected = theirs.predict_proba(logits[:, None])[:, 1]
    np.testing.assert_allclose(ours.probability(logits), expected, atol=1e-3)


def test_scores_that_say_nothing_keep_their_order() -> None:
    logits = np.linspace(-1, 1, 40)
    chosen = choose_decision(logits, logits < 0)  # the wrong way round
    assert (np.diff(chosen.probability(logits)) > 0).all()


def test_a_decision_keeps_the_order_and_plain_changes_nothing() -> None:
    logits = np.linspace(-5, 5, 11).astype(np.float32)
    np.testing.assert_allclose(PLAIN.probability(logits), expit(logits.astype(float)))
    tempered = Decision(4.0, 0.5, 0.3).probability(logits)
    assert (np.diff(tempered) > 0).all()
    malignant = logits > 1
    chosen = choose_decision(logits, malignant)
    assert ((chosen.probability(logits) >= chosen.threshold) == malignant).all()
