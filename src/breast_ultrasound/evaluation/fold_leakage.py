"""What a near-duplicate in the other folds does to the score of an image.

Images with a near-duplicate and without one are scored on folds that keep groups whole and on folds
that do not. What the change of folds does to images without one is noise; by how much more it does
to images with one is the leak (a difference of differences).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.ranking import auc

Logits = NDArray[np.float32]
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
    has_duplicate = size[member] > 1
    truth = dev.malignant
    arms = [(own, _true_class(own, truth)) for own in (ungrouped, grouped)]
    kinds = {name: kind == name for name in np.unique(kind).tolist()}

    def gains(images: NDArray[np.int64], repeats: list[NDArray[np.int64]]) -> dict[str, float]:
        values: dict[str, float] = {}
        for name, mask in (("with_near_duplicate", has_duplicate), ("without", ~has_duplicate)):
            chosen = images[mask[images]]
            if len(np.unique(truth[chosen])) < 2:
                return {}
            for measure in MEASURES:
                more, less = (
                    _mean(measure, arm, truth, chosen, rows)
                    for arm, rows in zip(arms, repeats, strict=True)
                )
                values[f"{measure}.{name}"] = more - less
        for measure in MEASURES:
            of = f"{measure}.with_near_duplicate", f"{measure}.without"
            values[f"{measure}.difference"] = values[of[0]] - values[of[1]]
        for name, mask in kinds.items():
            both = [
                images[mask[images] & (has_duplicate[images] == side)] for side in (True, False)
            ]
            if not all(map(len, both)):
                return {}
            more, less = (
                sum(sign * arm[1][rows][:, chosen].mean()
                    for sign, arm, rows in zip((1, -1), arms, repeats, strict=True))
                for chosen in both
            )  # fmt: skip
            values[f"kinds.{name}"] = float(more - less)
        return values

    everything = [np.arange(len(own)) for own, _ in arms]
    values = gains(np.arange(len(truth)), everything)
    ends = _bootstrap(gains, dev.group, [len(own) for own, _ in arms], interval, seed)
    return {**_tree(values, ends), "images_with_near_duplicate": int(has_duplicate.sum())}


def _true_class(logits: Logits, truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the calibrated probability of each image's own class, (R, N)."""
    probability = np.stack([platt_scaling(row, truth).probability(row) for row in logits])
    return np.where(truth, probability, 1 - probability)


def _mean(
    measure: str,
    arm: tuple[Logits, NDArray[np.float64]],
    truth: NDArray[np.bool_],
    chosen: NDArray[np.int64],
    repeats: NDArray[np.int64],
) -> float:
    if measure == "auc":
        return float(np.mean([auc(truth[chosen], arm[0][r, chosen]) for r in repeats]))
    return float(arm[1][repeats][:, chosen].mean())


def _bootstrap(
    gains: Any,
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
