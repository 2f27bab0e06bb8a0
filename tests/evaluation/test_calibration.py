import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration

from breast_ultrasound.evaluation.calibration import (
    MAX_SLOPE,
    MIN_SLOPE,
    NOT_CALIBRATED,
    Calibration,
    platt_scaling,
)


def _case(seed: int, n: int = 300, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 2, n)
    return (truth * scale).astype(np.float32), rng.random(n) < expit(truth - 1)


def test_the_calibration_that_made_the_labels_is_found() -> None:
    rng = np.random.default_rng(0)
    true_logits = rng.normal(0, 2, 20_000)
    malignant = rng.random(20_000) < expit(true_logits)
    for temperature, offset in ((0.5, 0.0), (1.0, -1.0), (3.0, 2.0)):
        found = platt_scaling((true_logits - offset) * temperature, malignant)
        assert found.temperature == pytest.approx(temperature, rel=0.05)
        assert found.offset == pytest.approx(offset, abs=0.06)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [12, 300])
def test_it_is_platts_of_scikit_learn(seed: int, n: int) -> None:
    logits, malignant = _case(seed, n)
    theirs = _SigmoidCalibration().fit(logits.astype(float), malignant)
    ours = platt_scaling(logits, malignant)
    np.testing.assert_allclose(ours.probability(logits), theirs.predict(logits), atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_line_has_less_log_loss_on_platts_targets(seed: int) -> None:
    logits, malignant = _case(seed, 60, scale=0.7)
    n_malignant, n_benign = malignant.sum(), (~malignant).sum()
    target = np.where(malignant, (n_malignant + 1) / (n_malignant + 2), 1 / (n_benign + 2))

    def loss(line: np.ndarray) -> float:
        z = line[0] * logits.astype(float) + line[1]
        return float((np.logaddexp(0, z) - target * z).sum())

    best = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    found = platt_scaling(logits, malignant)
    assert 1 / found.temperature == pytest.approx(best.x[0], rel=1e-4)
    assert found.offset == pytest.approx(best.x[1], abs=1e-4)


def test_scores_that_separate_the_classes_stay_uncertain() -> None:
    for gap in (1.0, 1e-3, 100.0):
        logits = np.repeat([-gap, gap], 20)
        found = platt_scaling(logits, logits > 0)
        assert 1 / MAX_SLOPE <= found.temperature <= 1 / MIN_SLOPE
        assert np.isfinite(found.offset)
        probability = found.probability(logits)
        assert (probability[:20] < 0.5).all()
        assert (probability[20:] > 0.5).all()
        if gap == 1.0:  # within the limits of the slope: the targets themselves
            np.testing.assert_allclose(probability, np.repeat([1 / 22, 21 / 22], 20), atol=1e-4)


def test_scores_that_say_nothing_or_the_contrary_keep_their_order() -> None:
    logits = np.linspace(-1, 1, 40)
    for malignant in (logits < 0, np.arange(40) % 4 == 0):
        found = platt_scaling(logits, malignant)
        assert (np.diff(found.probability(logits)) > 0).all()
        assert found.temperature <= 1 / MIN_SLOPE
    wrong_way = platt_scaling(logits + 3, np.arange(40) < 10)
    assert wrong_way.temperature == 1 / MIN_SLOPE
    # Its mean is the share of malignant images, in log odds.
    mean = ((logits + 3) / wrong_way.temperature + wrong_way.offset).mean()
    assert mean == pytest.approx(np.log(10 / 30), abs=1e-5)


def test_equal_scores_get_the_share_of_malignant_images() -> None:
    malignant = np.arange(40) % 4 == 0
    for value in (0.0, 0.3, -1e4):
        logits = np.full(40, value, dtype=np.float32)
        probability = platt_scaling(logits, malignant).probability(logits)
        np.testing.assert_allclose(probability, 1 / 4, atol=1e-3)


@pytest.mark.parametrize(("scale", "shift"), [(1, 1000), (5, -3), (0.1, 1e-3)])
def test_other_units_give_the_same_probabilities(scale: float, shift: float) -> None:
    logits, malignant = _case(0)
    logits = logits.astype(float)
    expected = platt_scaling(logits, malignant).probability(logits)
    other = logits * scale + shift
    found = platt_scaling(other, malignant).probability(other)
    np.testing.assert_allclose(found, expected, atol=1e-3)  # six digits of 1000


def test_scores_that_hardly_differ_are_calibrated_without_a_word() -> None:
    rng = np.random.default_rng(0)
    malignant = np.arange(60) % 3 == 0
    for logits in (-1.04 + 1e-9 * rng.normal(size=60), 1e4 * rng.normal(size=60)):
        found = platt_scaling(logits, malignant)
        assert found.temperature in (1 / MIN_SLOPE, 1 / MAX_SLOPE)


def test_digits_that_differ_from_cpu_to_cpu_are_cut() -> None:
    for seed in range(5):
        logits, malignant = _case(seed)
        found = platt_scaling(logits, malignant)
        for value in (found.temperature, found.offset):
            assert value == float(f"{value:.6g}")
        nudged = platt_scaling(logits * np.float32(1 + 1e-7), malignant)
        assert nudged.temperature == pytest.approx(found.temperature, rel=1e-5)


def test_a_calibration_keeps_the_order_and_none_changes_nothing() -> None:
    logits = np.linspace(-5, 5, 11).astype(np.float32)
    np.testing.assert_allclose(NOT_CALIBRATED.probability(logits), expit(logits.astype(float)))
    tempered = Calibration(4.0, 0.5).probability(logits.reshape(1, 11))
    assert (tempered.shape, tempered.dtype) == ((1, 11), np.float64)
    np.testing.assert_allclose(tempered[0], expit(logits.astype(float) / 4 + 0.5))
