"""From logits to decisions: a temperature and a threshold, chosen on out-of-fold scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOG_TEMPERATURE_LIMIT = 3.0  # e±3: from 0.05 to 20


@dataclass(frozen=True)
class Decision:
    """How logits become probabilities and calls.

    Attributes:
        temperature: logits are divided by it; above 1 tempers overconfidence.
        threshold: a probability at or above it is called malignant, in [0, 1].
    """

    temperature: float
    threshold: float

    def probability(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability of malignant, (N,) float64, of logits (N,)."""
        from scipy.special import expit

        return np.asarray(expit(logits.astype(np.float64) / self.temperature))


PLAIN = Decision(temperature=1.0, threshold=0.5)


def choose_decision(logits: NDArray[np.floating], malignant: NDArray[np.bool_]) -> Decision:
    """Fit the temperature, then choose the threshold of best accuracy.

    Args:
        logits: (N,), of images that the scoring network has not learned from.
        malignant: (N,) bool, both classes present.
    """
    temperature = fit_temperature(logits, malignant)
    probability = Decision(temperature, 0.5).probability(logits)
    return Decision(temperature, best_threshold(probability, malignant))


def fit_temperature(logits: NDArray[np.floating], malignant: NDArray[np.bool_]) -> float:
    """Return the temperature of least log loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""
    from scipy.optimize import minimize_scalar

    sign = np.where(malignant, 1.0, -1.0)

    def log_loss(log_temperature: float) -> float:
        margins = sign * logits.astype(np.float64) / np.exp(log_temperature)
        return float(np.logaddexp(0, -margins).mean())

    limits = (-LOG_TEMPERATURE_LIMIT, LOG_TEMPERATURE_LIMIT)
    return float(np.exp(minimize_scalar(log_loss, bounds=limits, method="bounded").x))


def best_threshold(probability: NDArray[np.float64], malignant: NDArray[np.bool_]) -> float:
    """Return the threshold of best accuracy: a mid-point between neighbouring probabilities.

    Of equally good ones the one nearest to 0.5 is taken.
    """
    order = np.sort(np.unique(probability))
    candidates = np.concatenate([[0.0], (order[1:] + order[:-1]) / 2, [1.0]])
    accuracy = np.array([((probability >= c) == malignant).mean() for c in candidates])
    best = candidates[accuracy == accuracy.max()]
    return float(best[np.abs(best - 0.5).argmin()])
