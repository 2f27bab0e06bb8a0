"""Cross-validation of the chosen configuration, on cuts that no search has used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.folds import Fold, make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.evaluation.metrics import Scores, closed_intervals, mean_and_sd, scores
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.ranking import auc
from breast_ultrasound.search.fold_runs import Execute, refuse_diverged, run_on

SEARCH_REPEAT = 0  # the searches' folds; estimates have the repeats after it


@dataclass(frozen=True)
class CrossValidation:
    """Out-of-fold scores and what they say.

    Attributes:
        logits: (R, N) float32, of each image in each repeat, by a network that never saw it.
        folds: R·K folds.
        fold_scores: the scores of each fold, in the same order.
    """

    logits: NDArray[np.float32]
    folds: list[Fold]
    fold_scores: list[Scores]


def cross_validate(
    config: TrainingConfig,
    dev: ImageSet,
    n_splits: int,
    n_repeats: int,
    seed: int,
    execute: Execute,
    grouped: bool = True,
) -> CrossValidation:
    """Train on every fold of every repeat.

    The calibration of a fold is chosen on the other folds of its repeat, so that none is applied
    to images it was chosen on.

    Args:
        grouped: keep near-duplicates in one fold; False shows what the leak is worth.
    """
    folds = estimate_folds(dev, n_splits, n_repeats, seed, grouped)
    runs = [run_on(config, fold) for fold in folds]
    kind = "grouped" if grouped else "ungrouped"
    results = execute(runs, f"{kind} {n_splits} folds × {n_repeats}")
    refuse_diverged(runs, results)
    logits = np.full((n_repeats, len(dev)), np.nan, dtype=np.float32)
    for fold, result in zip(folds, results, strict=True):
        logits[fold.repeat - SEARCH_REPEAT - 1, fold.score] = result.logits
    return scored(logits, folds, dev.malignant)


def estimate_folds(
    dev: ImageSet, n_splits: int, n_repeats: int, seed: int, grouped: bool = True
) -> list[Fold]:
    """Return the folds of every repeat, none of which a search has used."""
    group = dev.group if grouped else None
    return [
        fold
        for repeat in range(SEARCH_REPEAT + 1, SEARCH_REPEAT + 1 + n_repeats)
        for fold in make_folds(dev.malignant, group, n_splits, seed, repeat)
    ]


def scored(
    logits: NDArray[np.float32], folds: list[Fold], malignant: NDArray[np.bool_]
) -> CrossValidation:
    """Score out-of-fold logits (R, N) on their folds."""
    return CrossValidation(logits, folds, _cross_fitted(logits, folds, malignant))


def _cross_fitted(
    logits: NDArray[np.float32], folds: Sequence[Fold], malignant: NDArray[np.bool_]
) -> list[Scores]:
    """Score each fold with the calibration that the other folds of its repeat suggest."""
    rows = []
    for fold in folds:
        own = logits[fold.repeat - SEARCH_REPEAT - 1]
        # fold.train is exactly the images that the other folds score.
        calibration = platt_scaling(own[fold.train], malignant[fold.train])
        rows.append(scores(malignant[fold.score], calibration.probability(own[fold.score])))
    return rows


def summarise(validation: CrossValidation, dev: ImageSet, confidence: float) -> dict[str, Any]:
    """Return the content of metrics/cross_validate.json.

    `pooled` scores the mean logit of each image over the repeats, with a calibration chosen
    on the same scores: what the final model is given, so it flatters a little. `pooled.single_auc`
    is of all out-of-fold logits of a repeat, one network's per image, averaged over the repeats.
    """
    pooled = validation.logits.mean(axis=0)
    probability = platt_scaling(pooled, dev.malignant).probability(pooled)
    closed = closed_intervals(dev.malignant, probability, dev.group, confidence)
    return {
        **mean_and_sd(validation.fold_scores),
        "pooled": {
            **scores(dev.malignant, probability),
            **{f"{name}_low": low for name, (low, _) in closed.items()},
            **{f"{name}_high": high for name, (_, high) in closed.items()},
            "single_auc": single_auc(validation.logits, dev.malignant),
        },
    }


def single_auc(logits: NDArray[np.float32], malignant: NDArray[np.bool_]) -> float:
    """Return the mean over rows of the AUC of logits (R, N): of one network per image."""
    return float(np.mean([auc(malignant, row) for row in logits]))


def fold_rows(validation: CrossValidation) -> tuple[list[str], list[list[Any]]]:
    """Return the scores of each fold, one row per fold: column names, then rows."""
    rows = [
        [f"{fold.repeat - SEARCH_REPEAT}.{fold.number + 1}", *row.values()]
        for fold, row in zip(validation.folds, validation.fold_scores, strict=True)
    ]
    return ["fold", *validation.fold_scores[0]], rows
