"""From logits to decisions: a calibration chosen on out-of-fold scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# e±3: a temperature from 0.05 to 20, where scores that say nothing have no best one.
LOG_TEMPERATURE_LIMIT, OFFSET_LIMIT = 3.0, 20.0


@dataclass(frozen=True)
class Decision:
    """How logits become probabilities and calls.

    Attributes:
        temperature: logits are divided by it; above 1 tempers overconfidence.
        offset: added afterwards; below 0 makes malignant less probable.
        threshold: a probability at or above it is called malignant, in [0, 1].
    """

    temperature: float
    offset: float
    threshold: float

    def probability(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability of malignant, (N,) float64, of logits (N,)."""
        from scipy.special import expit

        return np.asarray(expit(logits.astype(np.float64) / self.temperature + self.offset))


PLAIN = Decision(temperature=1.0, offset=0.0, threshold=0.5)


def choose_decision(logits: NDArray[np.floating], malignant: NDArray[np.bool_]) -> Decision:
    """Calibrate, and call what is more probable than not.

    Temperature and offset are those of least log loss (Platt 1999). The threshold that happens to
    be the most accurate on these scores was less accurate on others (docs/lab-notes.md).

    Args:
        logits: (N,), of images that the scoring network has not learned from.
        malignant: (N,) bool, both classes present.
    """
    from scipy.optimize import minimize

    sign, scores = np.where(malignant, 1.0, -1.0), logits.astype(np.float64)

    def log_loss(point: NDArray[np.float64]) -> float:
        log_temperature, offset = point
        margins = sign * (scores / np.exp(log_temperature) + offset)
        return float(np.logaddexp(0, -margins).mean())

    limits = [(-limit, limit) for limit in (LOG_TEMPERATURE_LIMIT, OFFSET_LIMIT)]
    log_temperature, offset = minimize(log_loss, (0.0, 0.0), bounds=limits).x
    return Decision(float(np.exp(log_temperature)), float(offset), threshold=0.5)
