from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from breast_ultrasound.evaluation.metrics import (
    auc_difference,
    bootstrap,
    calibration_line,
    headline_scores,
    mean_and_sd,
    scores,
    sensitivity_at_90_specificity,
)
from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.ranking import auc


def _case(seed: int, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    malignant = rng.random(n) < 0.3
    malignant[:2] = [True, False]
    return malignant, np.clip(rng.random(n) * 0.6 + 0.3 * malignant, 0, 1)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    shift=st.sampled_from([-1, -0.3, 0, 0.3, 1]),
    digits=st.integers(0, 9),
)
def test_scores_are_scikit_learns(seed: int, shift: float, digits: int) -> None:
    malignant, probability = _case(seed)
    # Few digits make many ties, also at ½; a large shift calls all images malignant, or none.
    probability = (probability + shift).round(digits).clip(0.01, 0.99)
    called = probability >= 0.5
    expected = {
        "auc": sk.roc_auc_score(malignant, probability),
        "accuracy": sk.accuracy_score(malignant, called),
        "balanced_accuracy": sk.balanced_accuracy_score(malignant, called),
        "sensitivity": sk.recall_score(malignant, called),
        "specificity": sk.recall_score(~malignant, ~called),
        "f1": sk.f1_score(malignant, called),
        "aupr": sk.average_precision_score(malignant, probability),
        "benign_f1": sk.f1_score(~malignant, ~called),
        "benign_aupr": sk.average_precision_score(~malignant, 1 - probability),
        "brier": sk.brier_score_loss(malignant, probability),
        "log_loss": sk.log_loss(malignant, np.clip(probability, 1e-7, 1 - 1e-7)),
    }
    found = scores(malignant, probability)
    line = dict(zip(("calibration_slope", "calibration_in_the_large"),
                    calibration_line(malignant, probability), strict=True))  # fmt: skip
    expected |= line
    expected["sensitivity_at_90_specificity"] = sensitivity_at_90_specificity(
        malignant, probability
    )
    assert found.keys() == expected.keys()
    headline = headline_scores(malignant, probability)
    assert headline == {name: found[name] for name in ("auc", "accuracy")}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


@given(seed=st.integers(0, 10**6), slope=st.floats(0.2, 4), large=st.floats(-2, 2))
@settings(max_examples=20, deadline=None)
def test_slope_and_in_the_large_are_those_of_unpenalised_regressions(
    seed: int, slope: float, large: float
) -> None:
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1.5, 300)
    malignant = rng.random(300) < 1 / (1 + np.exp(-(slope * odds + large)))
    probability = 1 / (1 + np.exp(-odds))
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(odds[:, None], malignant)
    found = calibration_line(malignant, probability)
    assert found[0] == pytest.approx(fitted.coef_[0, 0], abs=1e-4)
    # In the large: with it added, as many are expected to be malignant as are.
    expected = 1 / (1 + np.exp(-(odds + found[1])))
    assert expected.sum() == pytest.approx(malignant.sum(), abs=1e-6)


def test_the_calibration_of_odd_probabilities() -> None:
    malignant = np.array([1, 1, 0, 0], dtype=bool)
    slope, large = calibration_line(malignant, np.full(4, 0.25))  # of one number: no slope
    assert (slope, large) == (0, pytest.approx(np.log(3)))
    slope, large = calibration_line(malignant, malignant.astype(float))  # it cannot be better
    assert slope >= 1
    assert large == pytest.approx(0, abs=1e-6)
    assert calibration_line(malignant, 1 - malignant.astype(float))[0] < 0


def test_sensitivity_at_90_specificity_by_hand() -> None:
    benign = np.arange(20) / 100  # 18 of 20 are at most 0.17
    malignant = np.array([0.17, 0.18, 0.5, 0.05])
    truth = np.repeat([True, False], [4, 20])
    assert sensitivity_at_90_specificity(truth, np.concatenate([malignant, benign])) == 0.5
    assert sensitivity_at_90_specificity(~truth, 1 - np.concatenate([malignant, benign])) <= 1


def _mean(values: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    return lambda drawn: {"mean": float(values[drawn].mean())}


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    interval = bootstrap(_mean(values), np.arange(400), 2000, 0.95, seed=0)
    half = 1.96 * values.std() / np.sqrt(400)
    expected = (values.mean() - half, values.mean() + half)
    assert interval["mean"] == pytest.approx(expected, abs=0.02)


def test_duplicates_widen_the_interval() -> None:
    """Each image four times is no more evidence than each image once."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=100)
    four, groups = np.repeat(values, 4), np.repeat(np.arange(100), 4)
    once = bootstrap(_mean(values), np.arange(100), 2000, 0.95, seed=0)["mean"]
    grouped = bootstrap(_mean(four), groups, 2000, 0.95, seed=0)["mean"]
    naive = bootstrap(_mean(four), np.arange(400), 2000, 0.95, seed=0)["mean"]
    width = once[1] - once[0]
    assert grouped[1] - grouped[0] == pytest.approx(width, rel=0.1)
    assert naive[1] - naive[0] == pytest.approx(width / 2, rel=0.1)


def test_duplicates_widen_the_interval_of_a_difference() -> None:
    rng = np.random.default_rng(0)
    malignant = np.repeat(rng.random(60) < 0.4, 4)
    good, bad = (np.repeat(rng.normal(size=60), 4) + shift * malignant for shift in (2, 1))
    params = EvaluateParams(n_bootstrap=500, confidence=0.9)
    width = {}
    for name, group in (
        ("near_duplicates", np.repeat(np.arange(60), 4)),
        ("alone", np.arange(240)),
    ):
        row = auc_difference(good[None], bad[None], malignant, group, params, seed=0)
        assert row["auc"] == pytest.approx(auc(malignant, good) - auc(malignant, bad))
        width[name] = row["auc_high"] - row["auc_low"]
    assert width["near_duplicates"] == pytest.approx(2 * width["alone"], rel=0.2)


def test_a_resample_that_cannot_be_scored_is_drawn_again() -> None:
    malignant = np.array([True] + [False] * 9)
    counts: list[int] = []

    def score(drawn: np.ndarray) -> dict[str, float]:
        counts.append(int(malignant[drawn].sum()))
        return {"share": counts[-1] / 10} if counts[-1] else {}

    low, _ = bootstrap(score, np.arange(10), 200, 0.9, seed=0)["share"]
    assert low >= 0.1
    assert sum(count > 0 for count in counts) == 200
    assert 0 in counts


def test_mean_and_sd() -> None:
    assert mean_and_sd([{"a": 1.0}, {"a": 3.0}]) == {
        "a": {"mean": 2.0, "sd": pytest.approx(2**0.5)}
    }
    assert mean_and_sd([{"a": 1.0}])["a"]["sd"] == 0
