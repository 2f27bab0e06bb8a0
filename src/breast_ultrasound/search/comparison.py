"""Learners beside each other on the same folds, with standard errors that folds share images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.evaluation.metrics import scores
from breast_ultrasound.search.cross_validation import CrossValidation, single_auc


def comparison_row(
    result: CrossValidation, first: CrossValidation, dev: ImageSet
) -> dict[str, float]:
    """Return how a learner does, and how it differs from the first on the folds that both have.

    Returns:
        `fold_auc` and `minus_first`, means over folds, each with `…_se`, its corrected standard
        error, and the latter with `…_low` and `…_high`, the ends of its 95 % interval by Student's
        t; `single_auc` and `accuracy` of one network per image, means over repeats and folds;
        `ensemble_auc` and `ensemble_accuracy` of the mean over the repeats, calibrated on the same
        images, as `pooled` in metrics/cross_validate.json.
    """
    aucs, other = (np.array([row["auc"] for row in r.fold_scores]) for r in (result, first))
    n_both = min(len(aucs), len(other))
    difference = aucs[:n_both] - other[:n_both]
    n_splits = len(result.folds) // len(result.logits)
    mean = result.logits.mean(axis=0)
    ensemble = scores(dev.malignant, platt_scaling(mean, dev.malignant).probability(mean))
    return {
        "fold_auc": float(aucs.mean()),
        "fold_auc_se": standard_error(aucs, n_splits),
        "minus_first": float(difference.mean()),
        "minus_first_se": standard_error(difference, n_splits),
        **dict(
            zip(
                ("minus_first_low", "minus_first_high"),
                t_interval(difference, n_splits),
                strict=True,
            )
        ),
        "single_auc": single_auc(result.logits, dev.malignant),
        "accuracy": float(np.mean([row["accuracy"] for row in result.fold_scores])),
        "ensemble_auc": ensemble["auc"],
        "ensemble_accuracy": ensemble["accuracy"],
    }


def standard_error(values: NDArray[np.float64], n_splits: int) -> float:
    """Return the corrected standard error of a mean over folds (Nadeau and Bengio 2003).

    Folds share images, so the variance over n folds is not multiplied by 1 / n alone, but by 1 / n
    plus the ratio of scored to learned images, 1 / (n_splits − 1)
    (https://doi.org/10.1023/A:1024068626366). More repeats do not bring it below half the standard
    deviation at five splits.
    """
    return float(values.std(ddof=1) * np.sqrt(1 / len(values) + 1 / (n_splits - 1)))


def t_interval(
    values: NDArray[np.float64], n_splits: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of a mean over n folds: its corrected error, times Student's t."""
    from scipy.special import stdtrit

    half = standard_error(values, n_splits) * stdtrit(len(values) - 1, (1 + confidence) / 2)
    return float(values.mean() - half), float(values.mean() + half)


def comparison_rows(
    rows: Mapping[str, Mapping[str, float]],
) -> tuple[list[str], list[list[Any]]]:
    """Return a table of comparisons, one row per learner: column names, then rows."""
    columns = list(next(iter(rows.values())))
    return ["learner", *columns], [[name, *row.values()] for name, row in rows.items()]
