"""Cross-validation of the chosen configuration, and what near-duplicates across folds are worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.folds import Fold, make_folds
from breast_ultrasound.evaluation.calibration import choose_decision
from breast_ultrasound.evaluation.metrics import Scores, auc, auc_difference, mean_and_sd, scores
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.search.fold_runs import Execute, run_on


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
    group = dev.group if grouped else None
    folds = [
        fold
        for repeat in range(n_repeats)
        for fold in make_folds(dev.malignant, group, n_splits, seed, repeat)
    ]
    label = f"{'grouped' if grouped else 'ungrouped'} {n_splits} folds × {n_repeats}"
    results = execute([run_on(config, fold) for fold in folds], label)
    logits = np.full((n_repeats, len(dev)), np.nan, dtype=np.float32)
    for fold, result in zip(folds, results, strict=True):
        logits[fold.repeat, fold.score] = result.logits
    return CrossValidation(logits, folds, _cross_fitted(logits, folds, dev.malignant))


def _cross_fitted(
    logits: NDArray[np.float32], folds: Sequence[Fold], malignant: NDArray[np.bool_]
) -> list[Scores]:
    """Score each fold with the decision that the other folds of its repeat suggest."""
    rows = []
    for fold in folds:
        own = logits[fold.repeat]
        # fold.train is exactly the images that the other folds score.
        decision = choose_decision(own[fold.train], malignant[fold.train])
        probability = decision.probability(own[fold.score])
        rows.append(scores(malignant[fold.score], probability, decision.threshold))
    return rows


def summarise(
    grouped: CrossValidation,
    ungrouped: CrossValidation,
    dev: ImageSet,
    interval: EvaluateParams,
    seed: int,
) -> dict[str, Any]:
    """Return the content of metrics/cross_validate.json.

    `pooled` scores the mean logit of each image over the repeats, with a calibration chosen
    on the same scores: what the final model is given, so it flatters a little. `pooled.single_auc`
    is of all out-of-fold logits of a repeat, one network's an image, averaged over the repeats.
    `ungrouped_minus_grouped.auc` is the difference of such averages over the repeats that both
    have, with an interval that resamples near-duplicate groups.
    """
    n_both = min(len(grouped.logits), len(ungrouped.logits))
    pooled = grouped.logits.mean(axis=0)
    decision = choose_decision(pooled, dev.malignant)
    probability = decision.probability(pooled)
    return {
        **mean_and_sd(grouped.fold_scores),
        "pooled": {
            **scores(dev.malignant, probability, decision.threshold),
            "single_auc": single_auc(grouped.logits, dev.malignant),
        },
        "ungrouped": mean_and_sd(ungrouped.fold_scores),
        "ungrouped_minus_grouped": auc_difference(
            ungrouped.logits[:n_both],
            grouped.logits[:n_both],
            dev.malignant,
            dev.group,
            interval,
            seed,
        ),
    }


def single_auc(logits: NDArray[np.float32], malignant: NDArray[np.bool_]) -> float:
    """Return the mean over rows of the AUC of logits (R, N): of one network an image."""
    return float(np.mean([auc(malignant, row) for row in logits]))


def fold_rows(
    grouped: CrossValidation, ungrouped: CrossValidation
) -> tuple[list[str], list[list[Any]]]:
    """Return a table of the scores of each fold: column names, then rows."""
    names = list(grouped.fold_scores[0])
    rows = [
        [f"{kind} {fold.repeat + 1}.{fold.number + 1}", *row.values()]
        for kind, result in (("grouped", grouped), ("ungrouped", ungrouped))
        for fold, row in zip(result.folds, result.fold_scores, strict=True)
    ]
    return ["fold", *names], rows
