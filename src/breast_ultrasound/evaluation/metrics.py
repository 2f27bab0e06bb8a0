"""Scores of probabilities of malignant, with intervals over near-duplicate groups."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.evaluation.intervals import auc_interval, share_interval
from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.ranking import auc, average_precision

N_BINS = 10  # of the calibration curve
MAX_SLOPE = 100.0  # of a calibration; scores that separate the classes have none
MAX_STEPS, MAX_STEP = 50, 5.0  # of Newton's method
Scores = dict[str, float]


def scores(malignant: NDArray[np.bool_], probability: NDArray[np.float64]) -> Scores:
    """Return every score of the project.

    Args:
        malignant: (N,) bool, both classes present.
        probability: (N,) float64 in [0, 1], of malignant; from ½ on malignant is predicted.

    Returns:
        `auc`, `accuracy`, `balanced_accuracy`, `sensitivity`, `specificity`,
        `sensitivity_at_90_specificity`, `f1` and `aupr` with
        malignant as the positive class; `benign_f1` and `benign_aupr` with benign as the positive
        one, as other projects print them; `brier` and `log_loss`, lower is better;
        `calibration_slope`, best at 1, and `calibration_in_the_large`, best at 0. AUPR is
        scikit-learn's average precision.
    """
    predicted = probability >= 0.5
    tp = int((predicted & malignant).sum())
    tn = int((~predicted & ~malignant).sum())
    n_malignant = int(malignant.sum())
    n_benign = len(malignant) - n_malignant
    n_wrong = len(malignant) - tp - tn
    of_truth = np.where(malignant, probability, 1 - probability)
    sensitivity, specificity = tp / n_malignant, tn / n_benign
    slope, in_the_large = calibration_line(malignant, probability)
    return {
        **headline_scores(malignant, probability),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "sensitivity_at_90_specificity": sensitivity_at_90_specificity(malignant, probability),
        "f1": 2 * tp / (2 * tp + n_wrong) if tp or n_wrong else 0.0,
        "aupr": average_precision(malignant, probability),
        "benign_f1": 2 * tn / (2 * tn + n_wrong) if tn or n_wrong else 0.0,
        "benign_aupr": average_precision(~malignant, 1 - probability),
        "brier": float(((probability - malignant) ** 2).mean()),
        "log_loss": float(-np.log(np.clip(of_truth, 1e-7, 1)).mean()),
        "calibration_slope": slope,
        "calibration_in_the_large": in_the_large,
    }


def headline_scores(malignant: NDArray[np.bool_], probability: NDArray[np.float64]) -> Scores:
    """Return `auc` and `accuracy` alone, as `scores` does."""
    return {
        "auc": auc(malignant, probability),
        "accuracy": float(((probability >= 0.5) == malignant).mean()),
    }


def sensitivity_at_90_specificity(
    malignant: NDArray[np.bool_], probability: NDArray[np.float64]
) -> float:
    """Return the share of malignant images above all but 10 % of the benign ones, at most."""
    benign = np.sort(probability[~malignant])
    cut = benign[math.ceil(0.9 * len(benign)) - 1]  # as many benign images are not above it
    return float((probability[malignant] > cut).mean())


def calibration_line(
    malignant: NDArray[np.bool_], probability: NDArray[np.float64]
) -> tuple[float, float]:
    """Return calibration slope and calibration-in-the-large.

    The slope of a logistic regression of the truth on the log odds: 1 is right, less means that
    probabilities are too extreme. In the large: what has to be added to the log odds, as they are,
    for the mean probability to be right; 0 is right, more means that malignant is more frequent
    than said (Van Calster et al. 2016, https://doi.org/10.1016/j.jclinepi.2015.12.005).

    Args:
        malignant: (N,) bool, both classes present.
        probability: (N,) float64; 0 and 1 count as 1e-7 from them.
    """
    from scipy.special import logit

    odds = logit(np.clip(probability, 1e-7, 1 - 1e-7))
    columns = np.stack([np.ones(len(odds)), odds], axis=1)
    none = np.zeros(len(odds))
    slope = float(_logistic(columns, malignant, none)[1]) if np.ptp(odds) else 0.0
    large = float(_logistic(columns[:, :1], malignant, odds)[0])
    return min(max(slope, -MAX_SLOPE), MAX_SLOPE), large


def _logistic(
    columns: NDArray[np.float64], truth: NDArray[np.bool_], offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weights, (K,), of least log loss by Newton's steps.

    Scikit-learn's knows no offset, and a bootstrap asks for thousands. Where the scores separate
    the classes the weights grow without end: the last step's are returned.
    """
    from scipy.special import expit

    weights = np.zeros(columns.shape[1])
    for _ in range(MAX_STEPS):
        mean = expit(columns @ weights + offset)
        curvature = (columns * (mean * (1 - mean))[:, None]).T @ columns
        curvature += 1e-9 * np.eye(len(weights))
        step = np.linalg.solve(curvature, columns.T @ (truth - mean))
        longest = np.abs(step).max()
        weights = weights + step * min(1.0, MAX_STEP / longest if longest else 1.0)
        if longest < 1e-9 or np.abs(weights).max() > MAX_SLOPE:
            break
    return weights


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


def closed_intervals(
    malignant: NDArray[np.bool_],
    probability: NDArray[np.float64],
    group: NDArray[np.int64],
    confidence: float,
) -> dict[str, tuple[float, float]]:
    """Return the intervals of scores for which a bootstrap's percentiles cover less well.

    They are those of `auc`, `accuracy`, `sensitivity` and `specificity`; see
    `evaluation/intervals.py`.
    """
    right = (probability >= 0.5) == malignant
    return {
        "auc": auc_interval(malignant, probability, group, confidence),
        "accuracy": share_interval(right, group, confidence),
        "sensitivity": share_interval(right[malignant], group[malignant], confidence),
        "specificity": share_interval(right[~malignant], group[~malignant], confidence),
    }


def scores_with_intervals(
    malignant: NDArray[np.bool_],
    probability: NDArray[np.float64],
    group: NDArray[np.int64],
    interval: EvaluateParams,
    seed: int,
) -> Scores:
    """Return every score, each with the ends of its interval as `…_low` and `…_high`."""

    def score(drawn: NDArray[np.int64]) -> Scores:
        truth = malignant[drawn]
        return {} if truth.all() or not truth.any() else scores(truth, probability[drawn])

    values = score(np.arange(len(malignant)))
    ends = bootstrap(score, group, interval.n_bootstrap, interval.confidence, seed)
    ends |= closed_intervals(malignant, probability, group, interval.confidence)
    return {
        name: number
        for key, value in values.items()
        for name, number in (
            (key, value),
            (f"{key}_low", ends[key][0]),
            (f"{key}_high", ends[key][1]),
        )
    }


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
