"""Scores of probabilities of malignant, and bootstrap intervals over near-duplicate groups."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.ranking import auc, average_precision

N_BINS = 10  # of the calibration error
Scores = dict[str, float]


def scores(malignant: NDArray[np.bool_], probability: NDArray[np.float64]) -> Scores:
    """Return every score of the project.

    Args:
        malignant: (N,) bool, both classes present.
        probability: (N,) float64 in [0, 1], of malignant; from ½ on malignant is predicted.

    Returns:
        `auc`, `accuracy`, `balanced_accuracy`, `sensitivity`, `specificity`, `f1` and `aupr` with
        malignant as the positive class; `benign_f1` and `benign_aupr` with benign as the positive
        one, as other projects print them; `brier`, `log_loss` and `calibration_error`, lower is
        better. AUPR is scikit-learn's average precision.
    """
    predicted = probability >= 0.5
    tp = int((predicted & malignant).sum())
    tn = int((~predicted & ~malignant).sum())
    n_malignant = int(malignant.sum())
    n_benign = len(malignant) - n_malignant
    n_wrong = len(malignant) - tp - tn
    of_truth = np.where(malignant, probability, 1 - probability)
    sensitivity, specificity = tp / n_malignant, tn / n_benign
    return {
        **headline_scores(malignant, probability),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": 2 * tp / (2 * tp + n_wrong) if tp or n_wrong else 0.0,
        "aupr": average_precision(malignant, probability),
        "benign_f1": 2 * tn / (2 * tn + n_wrong) if tn or n_wrong else 0.0,
        "benign_aupr": average_precision(~malignant, 1 - probability),
        "brier": float(((probability - malignant) ** 2).mean()),
        "log_loss": float(-np.log(np.clip(of_truth, 1e-7, 1)).mean()),
        "calibration_error": calibration_error(malignant, probability),
    }


def headline_scores(malignant: NDArray[np.bool_], probability: NDArray[np.float64]) -> Scores:
    """Return `auc` and `accuracy` alone, as `scores` does."""
    return {
        "auc": auc(malignant, probability),
        "accuracy": float(((probability >= 0.5) == malignant).mean()),
    }


def calibration_error(malignant: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    """Return the expected calibration error over 10 equal bins of the probability of malignant.

    It is the mean gap between the share of malignant images and the mean probability, weighted by
    bin counts (Naeini et al. 2015, https://doi.org/10.1609/aaai.v29i1.9602).
    """
    rows = calibration_bins(malignant, probability)
    return sum(n * abs(share - mean) for mean, share, n in rows) / len(malignant)


def calibration_bins(
    malignant: NDArray[np.bool_], probability: NDArray[np.float64]
) -> list[tuple[float, float, int]]:
    """Return (mean probability, share of malignant, count) of each bin that is not empty."""
    bins = np.minimum((probability * N_BINS).astype(int), N_BINS - 1)
    return [
        (float(probability[bins == b].mean()), float(malignant[bins == b].mean()), int(n))
        for b, n in enumerate(np.bincount(bins, minlength=N_BINS))
        if n
    ]


def bootstrap(
    score: Callable[[NDArray[np.int64]], Mapping[str, float]],
    group: NDArray[np.int64],
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Return a percentile interval for each score, resampling near-duplicate groups whole.

    NearDuplicates show one lesion and err together, so images are not independent: groups are the
    units (cluster bootstrap: Field and Welsh 2007, https://doi.org/10.1111/j.1467-9868.2007.00593.x).

    Args:
        score: from (N,) int64 indices of a resample to named scores; one that cannot be scored
            gives none and is drawn again.
        group: (N,) int64.
        confidence: 0.95 gives the 2.5 and 97.5 percentiles.
    """
    rng = np.random.default_rng(seed)
    members = [np.nonzero(group == g)[0] for g in np.unique(group)]
    samples: list[Mapping[str, float]] = []
    while len(samples) < n_bootstrap:
        drawn = rng.integers(len(members), size=len(members))
        if sample := score(np.concatenate([members[i] for i in drawn])):
            samples.append(sample)
    tail = (1 - confidence) / 2
    intervals = {}
    for name in samples[0]:
        low, high = np.quantile([sample[name] for sample in samples], [tail, 1 - tail])
        intervals[name] = (float(low), float(high))
    return intervals


def auc_difference(
    one: NDArray[np.floating[Any]],
    other: NDArray[np.floating[Any]],
    malignant: NDArray[np.bool_],
    group: NDArray[np.int64],
    interval: EvaluateParams,
    seed: int,
) -> dict[str, float]:
    """Return by how much the mean AUC of `one` exceeds that of `other`, with its interval.

    Args:
        one, other: (R, N) scores of N images by R trainings each.
        malignant, group: (N,); near-duplicate groups are resampled whole, the trainings never.
    """

    def difference(drawn: NDArray[np.int64]) -> dict[str, float]:
        truth = malignant[drawn]
        if truth.all() or not truth.any():
            return {}
        means = [np.mean([auc(truth, row[drawn]) for row in rows]) for rows in (one, other)]
        return {"auc": float(means[0] - means[1])}

    low, high = bootstrap(difference, group, interval.n_bootstrap, interval.confidence, seed)["auc"]
    return {**difference(np.arange(len(malignant))), "auc_low": low, "auc_high": high}


def mean_and_sd(rows: list[Scores]) -> dict[str, dict[str, float]]:
    """Return mean and sample standard deviation of each score over `rows`."""
    return {
        name: {
            "mean": float(np.mean([row[name] for row in rows])),
            "sd": float(np.std([row[name] for row in rows], ddof=1)) if len(rows) > 1 else 0.0,
        }
        for name in rows[0]
    }
