"""Why near-duplicates begin where they do: how images correlate, and what depends on the cut."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dev_and_test import with_leaks
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.near_duplicates import (
    THRESHOLDS,
    best_correlation,
    find_near_duplicates,
)

BANDS = (0.88, *THRESHOLDS, 1.0)
Table = tuple[list[str], list[list[Any]]]  # column names, then rows


def best_match(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return each image's correlation, (N,), with the other image most like it."""
    correlation = best_correlation(images, images)
    np.fill_diagonal(correlation, -1)
    best: NDArray[np.float64] = correlation.max(axis=1)
    return best


def band_rows(images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> Table:
    """Return the pairs of images by their correlation, and how many of them disagree in label.

    Pairs of copies should agree; pairs that have nothing to do with each other disagree as often
    as two images drawn at random, which is the last row.
    """
    correlation = best_correlation(images, images)
    first, second = np.triu_indices(len(images), k=1)
    value, opposite = correlation[first, second], malignant[first] != malignant[second]
    edges = [*BANDS[:-1], np.inf]  # a copy correlates at 1, give or take its last digit
    masks = [(value >= low) & (value < high) for low, high in pairwise(edges)]
    names = [f"{low:.2f}–{high:.2f}" for low, high in pairwise(BANDS)]
    return ["correlation", "pairs", "opposite_labels", "share"], [
        [name, int(mask.sum()), int(opposite[mask].sum()), _share(opposite[mask])]
        for name, mask in zip([*names, "any"], [*masks, value >= -np.inf], strict=True)
    ]


def _share(opposite: NDArray[np.bool_]) -> float:
    return float(opposite.mean()) if len(opposite) else 0.0


def threshold_rows(
    images: ImageSet,
) -> Table:
    """Return what depends on the correlation from which images count as near-duplicates."""
    widest = find_near_duplicates(images.thumbnails, THRESHOLDS[0])
    malignant, split = images.malignant, images.split
    rows = []
    for threshold in THRESHOLDS:
        duplicates = widest.above(threshold)
        first, second = duplicates.pairs.T
        across = int((split[first] != split[second]).sum())
        opposite = int((malignant[first] != malignant[second]).sum())
        n_groups = int(duplicates.group.max()) + 1
        leaked = int((with_leaks(images, duplicates).leaked & (split == "test")).sum())
        rows.append([threshold, len(duplicates.pairs), across, opposite, n_groups, leaked])
    names = ["pairs", "cross_split_pairs", "opposite_labels", "groups", "leaked_test_images"]
    return ["near_duplicate_correlation", *names], rows
