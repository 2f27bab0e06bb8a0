"""Operating points: from which probability on malignant is predicted, and what that gives."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.evaluation.intervals import share_interval

HALF = "half"
SENSITIVITIES = {"sensitivity_90": 0.90, "sensitivity_95": 0.95}
DIGITS = 6  # of a threshold, rounded down: more decide nothing, and differ from CPU to CPU


def choose_operating_points(
    malignant: NDArray[np.bool_], probability: NDArray[np.float64]
) -> dict[str, float]:
    """Return thresholds by name: ½, and the highest with a sensitivity of at least 90 and 95 %.

    With few malignant images the next higher share that they allow is reached: of 10, 95 % are all.
    Equal probabilities are on one side.

    Args:
        malignant: (N,) bool, at least one.
        probability: (N,) float64 of malignant, of images that the networks did not learn from.
    """
    descending = np.sort(probability[malignant])[::-1]
    points = {HALF: 0.5}
    for name, share in SENSITIVITIES.items():
        lowest = float(descending[math.ceil(share * len(descending)) - 1])
        points[name] = math.floor(lowest * 10**DIGITS) / 10**DIGITS
    return points


def scores_at(
    malignant: NDArray[np.bool_],
    probability: NDArray[np.float64],
    group: NDArray[np.int64],
    points: Mapping[str, float],
    confidence: float,
) -> dict[str, dict[str, float]]:
    """Return sensitivity and specificity at each operating point, with their intervals.

    Args:
        malignant: (N,) bool, both classes present.
        group: (N,) int64, images that are not independent.
    """
    rows = {}
    for name, threshold in points.items():
        predicted, row = probability >= threshold, {"threshold": threshold}
        for score, of in (("sensitivity", malignant), ("specificity", ~malignant)):
            hit = (predicted == malignant)[of]
            low, high = share_interval(hit, group[of], confidence)
            row |= {score: float(hit.mean()), f"{score}_low": low, f"{score}_high": high}
        rows[name] = row
    return rows
