"""Whether our near-duplicates are the experts': agreement by cut, and where the two differ."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.near_duplicates import NearDuplicates, best_correlation
from breast_ultrasound.evaluation.figures import pair_sheet

CUTS = (0.93, 0.94, 0.95, 0.96, 0.97, 0.99)
COLUMNS = ("near_duplicate_correlation", "pairs", "recall", "precision", "leaked_test_images",
           "leaked_by_experts", "leaked_by_both")  # fmt: skip
N_SHOWN = 24  # pairs on a sheet, of either kind
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
    widest: NearDuplicates,
    cuts: Sequence[float],
    experts: NDArray[np.int64],
    is_test: NDArray[np.bool_],
) -> list[dict[str, float]]:
    """Return a row of `COLUMNS` per cut.

    Pairs are those within groups, as the experts' are.

    Args:
        widest: near-duplicates by the lowest of the cuts, or a lower one.
        experts: (N,) the experts' groups, at least one of them of two images.
    """
    theirs, their_leaks = pairs_of(experts), leaked_in(experts, is_test)
    rows = []
    for cut in cuts:
        group = widest.above(cut).group
        ours, leaks = pairs_of(group), leaked_in(group, is_test)
        both = len(ours & theirs)
        values = (cut, len(ours), both / len(theirs), both / max(1, len(ours)), len(leaks),
                  len(their_leaks), len(leaks & their_leaks))  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def draw_disagreements(
    images: ImageSet,
    files: NDArray[np.str_],
    ours: NDArray[np.int64],
    experts: NDArray[np.int64],
    path: Path,
) -> dict[str, int]:
    """Draw the pairs that only one of the two names, and return how many each does.

    Of the experts' the least alike come first, of ours the most; `N_SHOWN` of each at most.

    Args:
        files: (N,) BUSI's name of each image.
        ours, experts: (N,) groups.
    """
    own, theirs = pairs_of(ours), pairs_of(experts)
    alike = best_correlation(images.thumbnails, images.thumbnails)
    kinds = {
        "experts only": sorted(theirs - own, key=lambda pair: (alike[pair], pair)),
        "ours only": sorted(own - theirs, key=lambda pair: (-alike[pair], pair)),
    }
    shown = [(pair, words) for words, found in kinds.items() for pair in found[:N_SHOWN]]
    pairs = np.array([pair for pair, _ in shown], dtype=np.int64).reshape(-1, 2)
    duplicates = NearDuplicates(pairs, alike[*pairs.T], np.zeros(len(pairs), np.bool_), ours)
    counts = ", ".join(
        f"{words} {len(found)}" + (f", of which {N_SHOWN}" if len(found) > N_SHOWN else "")
        for words, found in kinds.items()
    )
    everything, title = np.arange(len(pairs)), f"Pairs that one names alone: {counts}"
    beside = [words for _, words in shown]
    pair_sheet(images.images, files, images.label, duplicates, everything, title, path, beside)
    return {words.replace(" ", "_"): len(found) for words, found in kinds.items()}
