"""From logits to probabilities: Platt scaling of out-of-fold logits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Scores that say nothing, or the contrary, still rank as they are: a temperature of 20 at most.
MIN_SLOPE, MAX_SLOPE = 0.05, 20.0
DIGITS = 6  # of temperature and offset: more decide nothing, and differ from CPU to CPU


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities.

    Attributes:
        temperature: logits are divided by it; above 1 tempers overconfidence.
        offset: added afterwards; below 0 makes malignant less probable.
    """

    temperature: float
    offset: float

    def probability(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability of malignant, float64, of logits of any shape."""
        from scipy.special import expit

        return np.asarray(expit(logits.astype(np.float64) / self.temperature + self.offset))


NOT_CALIBRATED = Calibration(temperature=1.0, offset=0.0)


def platt_scaling(logits: NDArray[np.floating], malignant: NDArray[np.bool_]) -> Calibration:
    """Return the calibration of least log loss.

    A logistic regression of one feature without penalty, on Platt's targets, which keep it finite
    where the scores separate the classes: (n₊ + 1) / (n₊ + 2) for malignant, 1 / (n₋ + 2) for
    others (Platt 1999, Probabilistic outputs for support vector machines, section 2.2).

    Args:
        logits: (N,), of images that the scoring network has not learned from.
        malignant: (N,) bool, both classes present.
    """
    n_malignant = int(malignant.sum())
    n_others = len(malignant) - n_malignant
    target = np.where(malignant, (n_malignant + 1) / (n_malignant + 2), 1 / (n_others + 2))
    scores = logits.astype(np.float64)
    slope, offset = _logistic_line(scores, target) if np.ptp(scores) else (0.0, 0.0)
    if not MIN_SLOPE <= slope <= MAX_SLOPE:
        slope = min(max(slope, MIN_SLOPE), MAX_SLOPE)
        offset = float(np.log(n_malignant / n_others) - slope * scores.mean())
    return Calibration(float(f"{1 / slope:.{DIGITS}g}"), float(f"{offset:.{DIGITS}g}"))


def _logistic_line(scores: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and offset of the logistic line of least log loss on targets from 0 to 1."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = float(scores.mean()), float(scores.std())
    standard = (scores - mean) / spread  # the solver fails on scores far from 0, or close together
    # Each image stands twice, as malignant and as not, weighted by its target.
    truth = np.repeat([True, False], len(scores))
    regression = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
    regression.fit(
        np.tile(standard, 2)[:, None], truth, sample_weight=np.append(target, 1 - target)
    )
    slope = float(regression.coef_[0, 0]) / spread
    return slope, float(regression.intercept_[0]) - slope * mean
