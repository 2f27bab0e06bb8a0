"""What a near-duplicate in the other folds does to the score of an image.

Images with a near-duplicate and without one are scored on folds that keep groups whole and on folds
that do not. What the change of folds does to images without one is noise; by how much more it does
to images with one is the leak (a difference of differences).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.ranking import auc

Measure = Literal["auc", "true_class_probability"]
MEASURES: tuple[Measure, ...] = ("auc", "true_class_probability")
SIDES = ("with_near_duplicate", "without")


@dataclass(frozen=True)
class FoldScores:
    """Scores of N images on R cuts into folds of either kind, and what is known of the images.

    Attributes:
        grouped, ungrouped: (R, N) out-of-fold logits.
        exposed: (R, N) bool, whether on an ungrouped cut another image of the group is in the other
            folds, and so was learned from.
        malignant: (N,) bool.
        group: (N,) int64.
        kind: (N,) str, as malignant, benign and normal; each is looked at alone, too.
    """

    grouped: NDArray[np.float32]
    ungrouped: NDArray[np.float32]
    exposed: NDArray[np.bool_]
    malignant: NDArray[np.bool_]
    group: NDArray[np.int64]
    kind: NDArray[np.str_]


def effect_by_image(
    scores: FoldScores, interval: EvaluateParams, seed: int
) -> dict[str, dict[str, Any]]:
    """Return what ungrouped folds add for images with and without a near-duplicate elsewhere.

    Of an ungrouped cut, images count as with one where it is in the other folds; where chance keeps
    the whole group in one fold, its images count on neither side.

    Returns:
        `auc` and `true_class_probability`, the mean probability of the class that an image has,
        each for `with_near_duplicate`, `without` and their `difference`; `kinds`, the latter
        measure's difference by kind; `images`, how many have a near-duplicate in dev, in all and by
        kind. What cannot be scored, for want of images or of a class, is left out. Intervals
        resample groups and cuts (Owen 2007, https://doi.org/10.1214/07-AOAS122), so that cuts and
        seeds count.
    """
    _, member, size = np.unique(scores.group, return_inverse=True, return_counts=True)
    alone = size[member] == 1
    masks = {str(name): scores.kind == name for name in np.unique(scores.kind)}
    known = _Known(scores, _gain_in_true_class(scores), alone, masks)
    everything, cuts = np.arange(len(alone)), np.arange(len(scores.exposed))
    values = _gains(known, everything, cuts, cuts)
    rng = np.random.default_rng(seed)
    members = np.split(np.argsort(member, kind="stable"), np.cumsum(size)[:-1])
    samples = []
    for _ in range(interval.n_bootstrap):
        drawn = rng.integers(len(members), size=len(members))
        images = np.concatenate([members[i] for i in drawn])
        samples.append(_gains(known, images, *rng.integers(len(cuts), size=(2, len(cuts)))))
    counts = {name: int((~alone & mask).sum()) for name, mask in masks.items()}
    counts = {SIDES[0]: int((~alone).sum()), **counts}
    return {**_tree(values, samples, interval.confidence), "images": counts}


@dataclass(frozen=True)
class _Known:
    """What every resample needs: the scores, and what follows from them.

    Attributes:
        more: (R, R, N), by how much the probability of an image's own class is higher on each
            ungrouped cut than on each grouped one.
        alone: (N,) bool, whether an image has no near-duplicate.
        kinds: (N,) bool each, by name.
    """

    scores: FoldScores
    more: NDArray[np.float64]
    alone: NDArray[np.bool_]
    kinds: Mapping[str, NDArray[np.bool_]]


def _gain_in_true_class(scores: FoldScores) -> NDArray[np.float64]:
    arms = [_true_class(own, scores.malignant) for own in (scores.ungrouped, scores.grouped)]
    return arms[0][:, None] - arms[1][None]


def _true_class(logits: NDArray[np.float32], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the calibrated probability of each image's own class, (R, N)."""
    probability = np.stack([platt_scaling(row, truth).probability(row) for row in logits])
    return np.where(truth, probability, 1 - probability)


def _gains(
    known: _Known,
    images: NDArray[np.int64],
    ungrouped: NDArray[np.int64],
    grouped: NDArray[np.int64],
) -> dict[str, float]:
    """Return by how much scores are higher on ungrouped cuts than on grouped ones, on average.

    Args:
        images: a resample of images.
        ungrouped, grouped: resamples of the cuts of either kind, which are compared one by one.
    """
    scores = known.scores
    gains: dict[str, list[float]] = {}
    for one, other in zip(ungrouped, grouped, strict=True):
        sides = images[scores.exposed[one, images]], images[known.alone[images]]
        logits, more = (scores.ungrouped[one], scores.grouped[other]), known.more[one, other]
        areas = [_auc_gain(scores.malignant[side], *(x[side] for x in logits)) for side in sides]
        _note(gains, MEASURES[0], areas)
        _note(gains, MEASURES[1], [_mean(more[side]) for side in sides])
        for kind, mask in known.kinds.items():
            of_kind = [_mean(more[side[mask[side]]]) for side in sides]
            gains.setdefault(f"kinds.{kind}", []).append(of_kind[0] - of_kind[1])
    means = {name: float(np.mean(of_cuts)) for name, of_cuts in gains.items()}
    return {name: mean for name, mean in means.items() if np.isfinite(mean)}


def _note(gains: dict[str, list[float]], measure: Measure, sides: list[float]) -> None:
    rows = {**dict(zip(SIDES, sides, strict=True)), "difference": sides[0] - sides[1]}
    for name, value in rows.items():
        gains.setdefault(f"{measure}.{name}", []).append(value)


def _auc_gain(
    truth: NDArray[np.bool_], one: NDArray[np.float32], other: NDArray[np.float32]
) -> float:
    if truth.all() or not truth.any():
        return np.nan
    return auc(truth, one) - auc(truth, other)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else np.nan


def _tree(
    values: Mapping[str, float], samples: list[dict[str, float]], confidence: float
) -> dict[str, dict[str, Any]]:
    """Return values with percentile intervals over the samples that have them."""
    tree: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        measure, leaf = name.split(".")
        drawn = [sample[name] for sample in samples if name in sample] or [value]
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
        row = {"gain": value, "gain_low": float(low), "gain_high": float(high)}
        tree.setdefault(measure, {})[leaf] = row
    return tree
