import numpy as np
import pytest

from breast_ultrasound.evaluation.operating_points import choose_operating_points, scores_at


@pytest.mark.parametrize("n_malignant", [3, 10, 168])
def test_thresholds_are_the_highest_that_are_sensitive_enough(n_malignant: int) -> None:
    rng = np.random.default_rng(n_malignant)
    malignant = np.arange(n_malignant + 100) < n_malignant
    probability = rng.random(len(malignant))
    points = choose_operating_points(malignant, probability)
    assert points["half"] == 0.5
    for name, share in (("sensitivity_90", 0.90), ("sensitivity_95", 0.95)):
        positive = probability[malignant]
        assert (positive >= points[name]).mean() >= share
        next_higher = positive[positive > points[name] + 1e-6].min(initial=2)
        next_one = positive[positive > next_higher].min(initial=2)
        assert (positive >= next_one).mean() < share  # rounding takes one image at most


def test_equal_probabilities_are_on_one_side() -> None:
    malignant = np.repeat([True, False], [10, 10])
    points = choose_operating_points(malignant, np.full(20, 0.3))
    assert points == {"half": 0.5, "sensitivity_90": 0.3, "sensitivity_95": 0.3}


def test_what_a_point_gives_by_hand() -> None:
    malignant = np.array([1, 1, 0, 0, 0], dtype=bool)
    probability = np.array([0.9, 0.4, 0.5, 0.1, 0.2])
    rows = scores_at(malignant, probability, np.arange(5), {"half": 0.5, "low": 0.3}, 0.95)
    assert (rows["half"]["sensitivity"], rows["half"]["specificity"]) == (0.5, 2 / 3)
    assert (rows["low"]["sensitivity"], rows["low"]["specificity"]) == (1, 2 / 3)
    assert rows["low"]["sensitivity_low"] < 1 == rows["low"]["sensitivity_high"]
