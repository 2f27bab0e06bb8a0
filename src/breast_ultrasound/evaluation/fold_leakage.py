"""What a near-duplicate in the other folds does to the score of an image.

Images with a near-duplicate and without one are scored on folds that keep groups whole and on folds
that do not. What the change of folds does to images without one is noise; by how much more it does
to images with one is the leak (a difference of differences).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.ranking import auc

Logits = NDArray[np.float32]
Arm = tuple[Logits, NDArray[np.float64]]
MEASURES = ("auc", "true_class_probability")


def effect_by_image(
    grouped: Logits,
    ungrouped: Logits,
    dev: ImageSet,
    kind: NDArray[np.str_],
    interval: EvaluateParams,
    seed: int,
) -> dict[str, Any]:
    """Return what ungrouped folds add for images with and without a near-duplicate in dev.

    Args:
        grouped, ungrouped: (R, N) out-of-fold logits.
        kind: (N,) str, as malignant, benign and normal; each is looked at alone, too.

    Returns:
        `auc` and `true_class_probability`, the mean probability of the class that an image has,
        each for `with_near_duplicate`, `without` and their `difference`; `kinds`, the latter
        measure's difference by kind. Intervals resample groups and repeats of the folds, so that
        cuts and seeds count.
    """
    _, member, size = np.unique(dev.group, return_inverse=True, return_counts=True)
    arms = [(own, _true_class(own, dev.malignant)) for own in (ungrouped, grouped)]
    kinds = {name: kind == name for name in np.unique(kind).tolist()}
    gains = partial(_gains, arms, dev.malignant, size[member] > 1, kinds)
    values = gains(np.arange(len(dev)), [np.arange(len(own)) for own, _ in arms])
    ends = _bootstrap(gains, dev.group, [len(own) for own, _ in arms], interval, seed)
    return {**_tree(values, ends), "images_with_near_duplicate": int((size[member] > 1).sum())}


def _gains(
    arms: Sequence[Arm],
    truth: NDArray[np.bool_],
    has_duplicate: NDArray[np.bool_],
    kinds: Mapping[str, NDArray[np.bool_]],
    images: NDArray[np.int64],
    repeats: Sequence[NDArray[np.int64]],
) -> dict[str, float]:
    """Return what the first arm's folds add to the second's, by `measure.images`.

    Args:
        arms: logits and probabilities of the true class of each way of cutting, (R, N) each.
        images, repeats: a resample, of images and of each arm's repeats; nothing is returned where
            one of the sets of images is empty or of one class.
    """
    values: dict[str, float] = {}
    sides = {"with_near_duplicate": has_duplicate, "without": ~has_duplicate}
    for name, mask in sides.items():
        chosen = images[mask[images]]
        if len(np.unique(truth[chosen])) < 2:
            return {}
        for measure in MEASURES:
            values[f"{measure}.{name}"] = _gain(measure, arms, truth, chosen, repeats)
    for measure in MEASURES:
        more, less = (values[f"{measure}.{name}"] for name in sides)
        values[f"{measure}.difference"] = more - less
    for name, of_kind in kinds.items():
        both = [images[(mask & of_kind)[images]] for mask in sides.values()]
        if not all(map(len, both)):
            return {}
        more, less = (_gain(MEASURES[1], arms, truth, chosen, repeats) for chosen in both)
        values[f"kinds.{name}"] = more - less
    return values


def _gain(
    measure: str,
    arms: Sequence[Arm],
    truth: NDArray[np.bool_],
    chosen: NDArray[np.int64],
    repeats: Sequence[NDArray[np.int64]],
) -> float:
    """Return the mean over repeats of a measure of the chosen images, by one arm less the other."""
    if measure == "auc":
        more, less = (
            float(np.mean([auc(truth[chosen], logits[r, chosen]) for r in rows]))
            for (logits, _), rows in zip(arms, repeats, strict=True)
        )
    else:
        more, less = (
            float(probability[rows][:, chosen].mean())
            for (_, probability), rows in zip(arms, repeats, strict=True)
        )
    return more - less


def _true_class(logits: Logits, truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the calibrated probability of each image's own class, (R, N)."""
    probability = np.stack([platt_scaling(row, truth).probability(row) for row in logits])
    return np.where(truth, probability, 1 - probability)


def _bootstrap(
    gains: Callable[[NDArray[np.int64], Sequence[NDArray[np.int64]]], dict[str, float]],
    group: NDArray[np.int64],
    n_repeats: list[int],
    interval: EvaluateParams,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Return percentile intervals over groups, and over the repeats of each way of cutting."""
    rng = np.random.default_rng(seed)
    members = [np.nonzero(group == g)[0] for g in np.unique(group)]
    samples: list[Mapping[str, float]] = []
    while len(samples) < interval.n_bootstrap:
        drawn = rng.integers(len(members), size=len(members))
        repeats = [rng.integers(n, size=n) for n in n_repeats]
        if sample := gains(np.concatenate([members[i] for i in drawn]), repeats):
            samples.append(sample)
    tails = [(1 - interval.confidence) / 2, (1 + interval.confidence) / 2]
    ends = {}
    for name in samples[0]:
        low, high = np.quantile([sample[name] for sample in samples], tails)
        ends[name] = (float(low), float(high))
    return ends


def _tree(
    values: Mapping[str, float], ends: Mapping[str, tuple[float, float]]
) -> dict[str, dict[str, dict[str, float]]]:
    tree: dict[str, dict[str, dict[str, float]]] = {}
    for name, value in values.items():
        measure, leaf = name.split(".")
        row = {"gain": value, "gain_low": ends[name][0], "gain_high": ends[name][1]}
        tree.setdefault(measure, {})[leaf] = row
    return tree
