"""Near-twins: images that show the same lesion in the same frame, or its mirror image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import SPLITS, ImageSet

BLOCK = 2048  # images; a block of correlations takes 16 MB
SINGLE_PRECISION = 1e-4  # more than float32 errs on a correlation; what is near is computed again


@dataclass(frozen=True)
class Twins:
    """The near-twin pairs among N images, and the groups they join.

    Attributes:
        pairs: (P, 2) int64, indices of the images of a pair, the lower first.
        correlation: (P,) float64, each pair's correlation, in [-1, 1].
        mirrored: (P,) bool, whether the second image matches best when mirrored.
        group: (N,) int64, the group of each image, numbered from 0 in order of appearance.
    """

    pairs: NDArray[np.int64]
    correlation: NDArray[np.float64]
    mirrored: NDArray[np.bool_]
    group: NDArray[np.int64]


def standardise(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return each image's pixels, (N, H, W) → (N, H·W), with mean 0 and norm 1.

    An image of one grey everywhere has no direction: it becomes zeros, which match nothing.
    """
    pixels = images.reshape(len(images), -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(pixels, axis=1, keepdims=True)
    return pixels / np.where(norm == 0, 1, norm)


def find_twins(images: NDArray[np.uint8], correlation: float) -> Twins:
    """Pair the images whose pixels correlate at `correlation` or more, mirrored copies too.

    Args:
        images: (N, H, W) uint8.
        correlation: Pearson's r over pixels, in (0, 1).

    Every pair is looked at, a block of images against a block, so memory grows with N and time
    with N². Groups are the connected components of the pairs.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = _candidates(images, correlation - SINGLE_PRECISION)
    straight, mirror = _exact(images, pairs)
    best = np.maximum(straight, mirror).round(12)  # an image and its copy correlate at 1, not less
    kept = best >= correlation
    first, second = pairs[kept].T
    shape = (len(images), len(images))
    links = coo_array((np.ones(len(first)), (first, second)), shape=shape)
    _, group = connected_components(links, directed=False)
    return Twins(
        pairs=pairs[kept],
        correlation=np.clip(best[kept], -1, 1),
        mirrored=(mirror > straight)[kept],
        group=group.astype(np.int64),
    )


def _candidates(images: NDArray[np.uint8], correlation: float) -> NDArray[np.int64]:
    """Return the pairs, (P, 2) in ascending order, that reach `correlation` in float32."""
    pixels = standardise(images).astype(np.float32)
    mirrored = standardise(images[:, :, ::-1]).astype(np.float32)
    starts = range(0, len(images), BLOCK)
    found = [np.empty((0, 2), dtype=np.int64)]
    for i in starts:
        for j in starts[i // BLOCK :]:
            rows, columns = pixels[i : i + BLOCK], slice(j, j + BLOCK)
            # Mirroring both images changes nothing: the upper half of the matrix is enough.
            best = np.maximum(rows @ pixels[columns].T, rows @ mirrored[columns].T)
            near = best >= correlation
            pairs = np.argwhere(np.triu(near, k=1) if i == j else near)
            found.append(pairs + np.array([i, j]))
    pairs = np.concatenate(found)
    return pairs[np.lexsort(pairs.T[::-1])]


def _exact(
    images: NDArray[np.uint8], pairs: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the correlations of pairs, (P,) float64 each: as they are, and with one mirrored."""
    straight, mirror = np.empty(len(pairs)), np.empty(len(pairs))
    for start in range(0, len(pairs), BLOCK):
        part = slice(start, start + BLOCK)
        first, second = (images[side] for side in pairs[part].T)
        rows = standardise(first)
        straight[part] = np.einsum("pd,pd->p", rows, standardise(second))
        mirror[part] = np.einsum("pd,pd->p", rows, standardise(second[:, :, ::-1]))
    return straight, mirror


def best_correlation(
    images: NDArray[np.uint8], others: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Correlate the pixels of all images with all others, as they are or mirrored.

    Args:
        images: (N, H, W) uint8.
        others: (M, H, W) uint8.

    Returns:
        (N, M) float64, the better correlation, and (N, M) bool, whether it is the mirrored one.
    """
    pixels = standardise(images)
    straight = pixels @ standardise(others).T
    mirror = pixels @ standardise(others[:, :, ::-1]).T
    return np.maximum(straight, mirror), mirror > straight


def dev_and_test(
    images: NDArray[np.uint8],
    malignant: NDArray[np.bool_],
    split: NDArray[np.int64],
    twins: Twins,
) -> tuple[ImageSet, ImageSet]:
    """Part the images into dev (official train and val) and test, with their twin flags."""
    is_test = split == SPLITS.index("test")
    leaked = np.zeros(len(images), dtype=np.bool_)
    across = is_test[twins.pairs[:, 0]] != is_test[twins.pairs[:, 1]]
    leaked[twins.pairs[across]] = True
    everything = ImageSet(images, malignant, split, twins.group, leaked)
    return everything.subset(~is_test), everything.subset(is_test)


def conflicting(label: NDArray[np.str_], twins: Twins) -> NDArray[np.bool_]:
    """Return which pairs, (P,) bool, have two labels, (N,) str, that differ; `""` is no label."""
    first, second = (label[side] for side in twins.pairs.T)
    return np.asarray((first != second) & (first != "") & (second != ""))


def describe(
    malignant: NDArray[np.bool_], split: NDArray[np.int64], twins: Twins, test: ImageSet
) -> dict[str, dict[str, int]]:
    """Count images, classes and near-twins: the content of metrics/data.json."""
    first, second = twins.pairs.T
    across, conflict = split[first] != split[second], malignant[first] != malignant[second]
    return {
        "images": {name: int((split == i).sum()) for i, name in enumerate(SPLITS)},
        "malignant": {name: int(malignant[split == i].sum()) for i, name in enumerate(SPLITS)},
        "twins": {
            "pairs": len(twins.pairs),
            "cross_split_pairs": int(across.sum()),
            "conflicting_pairs": int(conflict.sum()),
            "conflicting_cross_split_pairs": int((conflict & across).sum()),
            "groups": int(twins.group.max()) + 1,
            "leaked_test_images": int(test.leaked.sum()),
            "leak_free_test_images": int((~test.leaked).sum()),
            "leak_free_test_malignant": int(test.malignant[~test.leaked].sum()),
        },
    }
