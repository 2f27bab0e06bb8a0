"""Whether our near-duplicates are the experts': agreement by cut, and where the two differ."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.near_duplicates import NearDuplicates, best_correlation
from breast_ultrasound.evaluation.figures import pair_sheet

CUTS = (0.93, 0.94, 0.95, 0.96, 0.97, 0.99)
COLUMNS = ("near_duplicate_correlation", "pairs", "recall", "precision", "leaked_test_images",
           "leaked_by_experts", "leaked_by_both")  # fmt: skip
Pairs = set[tuple[int, int]]


def pairs_of(group: NDArray[np.int64]) -> Pairs:
    """Return all pairs within groups, the lower index first."""
    pairs: Pairs = set()
    order = np.argsort(group, kind="stable")
    _, starts = np.unique(group[order], return_index=True)
    for members in np.split(order, starts[1:]):
        found = sorted(members.tolist())
        pairs |= {(one, other) for i, one in enumerate(found) for other in found[i + 1 :]}
    return pairs


def leaked_in(group: NDArray[np.int64], is_test: NDArray[np.bool_]) -> set[int]:
    """Return the test images with an image of their group in dev."""
    in_dev = np.isin(group, group[~is_test])
    return set(np.nonzero(is_test & in_dev)[0].tolist())


def agreement(
    widest: NearDuplicates, experts: NDArray[np.int64], is_test: NDArray[np.bool_]
) -> list[dict[str, float]]:
    """Return a row of `COLUMNS` per cut.

    Pairs are those within groups, as the experts' are.

    Args:
        widest: near-duplicates by the lowest cut, or a lower one.
        experts: (N,) the experts' groups.
    """
    theirs, their_leaks = pairs_of(experts), leaked_in(experts, is_test)
    rows = []
    for cut in CUTS:
        group = widest.above(cut).group
        ours, leaks = pairs_of(group), leaked_in(group, is_test)
        both = len(ours & theirs)
        values = (cut, len(ours), both / len(theirs), both / max(1, len(ours)), len(leaks),
                  len(their_leaks), len(leaks & their_leaks))  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def summarise(rows: list[dict[str, float]], n_expert_pairs: int, cut: float) -> dict[str, Any]:
    """Return the row of the cut nearest to the one in use, with the number of experts' pairs."""
    row = min(rows, key=lambda row: abs(row[COLUMNS[0]] - cut))
    return {**row, "expert_pairs": n_expert_pairs}


def draw_disagreements(
    images: ImageSet,
    files: NDArray[np.str_],
    ours: NDArray[np.int64],
    experts: NDArray[np.int64],
    path: Path,
) -> dict[str, int]:
    """Draw the pairs that only one of the two names, and return how many each does.

    Args:
        files: (N,) BUSI's name of each image.
        ours, experts: (N,) groups.
    """
    own, theirs = pairs_of(ours), pairs_of(experts)
    kinds = {"experts_only": sorted(theirs - own), "ours_only": sorted(own - theirs)}
    pairs = np.array([pair for found in kinds.values() for pair in found], dtype=np.int64)
    pairs = pairs.reshape(-1, 2)
    correlation = np.array(
        [best_correlation(images.thumbnails[[i]], images.thumbnails[[j]])[0, 0] for i, j in pairs]
    )
    none = np.zeros(len(pairs), dtype=np.bool_)
    duplicates = NearDuplicates(pairs, correlation, none, ours)
    words = [name.replace("_", " ") for name, found in kinds.items() for _ in found]
    title = "Pairs that one names alone: " + ", ".join(
        f"{name.replace('_', ' ')} {len(found)}" for name, found in kinds.items()
    )
    pair_sheet(images.images, files, images.label, duplicates, np.arange(len(pairs)), title, path,
               words)  # fmt: skip
    return {name: len(found) for name, found in kinds.items()}
