from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from breast_ultrasound.evaluation.metrics import (
    auc_difference,
    bootstrap,
    calibration_error,
    headline_scores,
    mean_and_sd,
    scores,
)
from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.ranking import auc


def _case(seed: int, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    malignant = rng.random(n) < 0.3
    malignant[:2] = [True, False]
    return malignant, np.clip(rng.random(n) * 0.6 + 0.3 * malignant, 0, 1)


def _calibration_error(malignant: np.ndarray, probability: np.ndarray) -> float:
    """By the definition, an image at a time: a bin has its lower edge, the last one 1 too.

    A bin's gap of means times its count is the gap of its sums.
    """
    gaps = [0.0] * 10
    edges = [edge / 10 for edge in range(1, 10)]
    for truth, value in zip(malignant.tolist(), probability.tolist(), strict=True):
        gaps[bisect_right(edges, value)] += truth - value
    return sum(map(abs, gaps)) / len(malignant)


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
        "calibration_error": _calibration_error(malignant, probability),
    }
    found = scores(malignant, probability)
    assert found.keys() == expected.keys()
    headline = headline_scores(malignant, probability)
    assert headline == {name: found[name] for name in ("auc", "accuracy")}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize(
    ("malignant", "probability", "expected"),
    [
        # Bins 0.0 (1 of 2, mean 0.05), 0.8 and 0.9: (2 · 0.45 + 0.15 + 0.05) / 4.
        ([1, 0, 1, 1], [0.05, 0.05, 0.95, 0.85], 0.275),
        # 0.1 begins a bin and 1 belongs to the last: (0.95 + 2 · |0 − 0.145| + 2 · 0.025) / 5.
        ([1, 0, 0, 1, 1], [0.05, 0.1, 0.19, 0.95, 1.0], 0.258),
        # Within a bin errors cancel: 1 of 4 at a mean of 0.25.
        ([1, 0, 0, 0], [0.21, 0.23, 0.27, 0.29], 0.0),
        ([1, 0], [0.0, 1.0], 1.0),
        ([1, 0], [1.0, 0.0], 0.0),
    ],
)
def test_calibration_error_by_hand(
    malignant: list[int], probability: list[float], expected: float
) -> None:
    found = calibration_error(np.array(malignant, dtype=bool), np.array(probability))
    assert found == pytest.approx(expected, abs=1e-12)


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
