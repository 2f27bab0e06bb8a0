"""Scores of models on labelled images, all images and subsets, with paired intervals.

Differences come of one bootstrap: each resample scores every model on every subset, so that they
are paired.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.metrics import (
    Scores,
    bootstrap,
    closed_intervals,
    headline_scores,
    mean_and_sd,
    scores,
)
from breast_ultrasound.evaluation.operating_points import scores_at
from breast_ultrasound.model.classifier import Predictions
from breast_ultrasound.params import EvaluateParams

HEADLINES = ("auc", "accuracy")
Score = Callable[[NDArray[np.bool_], NDArray[np.float64]], Scores]
Rows = Mapping[tuple[str, str], Scores]  # by model and subset


def subsets_of(test: ImageSet) -> dict[str, NDArray[np.bool_]]:
    """Return the subsets of test, (N,) bool each: all, without and with a near-duplicate in dev.

    A subset of one class only has no AUC and is left out.
    """
    everything = np.ones(len(test), dtype=np.bool_)
    masks = {"test": everything, "leak_free": ~test.leaked, "leaked": test.leaked}
    return {name: mask for name, mask in masks.items() if has_both(test.malignant[mask])}


def has_both(malignant: NDArray[np.bool_]) -> bool:
    """Return whether both classes are among the labels (N,)."""
    return len(np.unique(malignant)) == 2


def compare(
    models: Mapping[str, Predictions],
    test: ImageSet,
    contrasts: Sequence[tuple[str, str]],
    score: Score,
    interval: EvaluateParams,
    seed: int,
) -> dict[str, Any]:
    """Return scores and differences, each with the ends of its interval, as a tree.

    `<model>.<subset>.<score>` for the subsets of `subsets_of`; `<one>_minus_<other>.<subset>.…` of
    the headline scores for each contrast; beside each `…_low` and `…_high`.
    """
    masks = subsets_of(test)

    def score_all(drawn: NDArray[np.int64]) -> dict[str, float]:
        chosen = {name: drawn[mask[drawn]] for name, mask in masks.items()}
        if not all(has_both(test.malignant[images]) for images in chosen.values()):
            return {}
        rows = {
            (name, subset): score(test.malignant[images], model.probability[images])
            for name, model in models.items()
            for subset, images in chosen.items()
        }
        return _flat(rows) | _differences(rows, contrasts)

    values = score_all(np.arange(len(test)))
    intervals = bootstrap(score_all, test.group, interval.n_bootstrap, interval.confidence, seed)
    intervals |= _closed(models, test, masks, interval.confidence)
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, leaf = name.split(".")
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
        low, high = intervals[name]
        branch |= {leaf: value, f"{leaf}_low": low, f"{leaf}_high": high}
    return tree


def _closed(
    models: Mapping[str, Predictions],
    test: ImageSet,
    masks: Mapping[str, NDArray[np.bool_]],
    confidence: float,
) -> dict[str, tuple[float, float]]:
    """Return the intervals that need no bootstrap, by `<model>.<subset>.<score>`."""
    return {
        f"{name}.{subset}.{score}": ends
        for name, model in models.items()
        for subset, mask in masks.items()
        for score, ends in closed_intervals(
            test.malignant[mask], model.probability[mask], test.group[mask], confidence
        ).items()
    }


def _flat(rows: Rows) -> dict[str, float]:
    return {
        f"{model}.{subset}.{score}": value
        for (model, subset), row in rows.items()
        for score, value in row.items()
    }


def _differences(rows: Rows, contrasts: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Return the differences of models on each subset, and of each model's subsets."""
    pairs = {
        f"{one}_minus_{other}.{subset}": (row, rows[other, subset])
        for one, other in contrasts
        for (model, subset), row in rows.items()
        if model == one
    }
    for (model, subset), row in rows.items():
        if subset == "leaked" and (model, "leak_free") in rows:
            pairs[f"leaked_minus_leak_free.{model}"] = (row, rows[model, "leak_free"])
    return {
        f"{name}.{score}": more[score] - less[score]
        for name, (more, less) in pairs.items()
        for score in HEADLINES
    }


def summarise(
    models: Mapping[str, Predictions],
    points: Mapping[str, Mapping[str, float]],
    test: ImageSet,
    interval: EvaluateParams,
    seed: int,
) -> dict[str, Any]:
    """Return the content of metrics/evaluate.json.

    Args:
        models: by the names `baseline` and `final`.
        points: the operating points of each, thresholds by name.
    """
    contrast = ("final", "baseline")
    tree = compare(models, test, [contrast], scores, interval, seed)
    tree.pop("leaked_minus_leak_free", None)
    for name, model in models.items():
        tree[name]["single"] = _single(model, test)
        tree[name]["operating_points"] = {
            subset: scores_at(
                test.malignant[mask],
                model.probability[mask],
                test.group[mask],
                points[name],
                interval.confidence,
            )
            for subset, mask in subsets_of(test).items()
        }
    return tree


def _single(model: Predictions, test: ImageSet) -> dict[str, Any]:
    """Return mean and sd of the headline scores over the members, for each subset of test."""
    return {
        name: mean_and_sd(
            [headline_scores(test.malignant[mask], p[mask]) for p in model.member_probability]
        )
        for name, mask in subsets_of(test).items()
    }
