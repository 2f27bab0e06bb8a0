"""Near-twins: images that show the same lesion in the same frame, or its mirror image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import SPLITS, ImageSet


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

    Groups are the connected components of the pairs.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pixels = standardise(images)
    straight = pixels @ pixels.T  # (N, N)
    mirror = pixels @ standardise(images[:, :, ::-1]).T
    best = np.maximum(straight, mirror)
    first, second = np.nonzero(np.triu(best >= correlation, k=1))
    links = coo_array((np.ones(len(first)), (first, second)), shape=best.shape)
    _, group = connected_components(links, directed=False)
    return Twins(
        pairs=np.stack([first, second], axis=1),
        correlation=np.clip(best[first, second], -1, 1),
        mirrored=mirror[first, second] > straight[first, second],
        group=group.astype(np.int64),
    )


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


def describe(
    malignant: NDArray[np.bool_], split: NDArray[np.int64], twins: Twins, test: ImageSet
) -> dict[str, dict[str, int]]:
    """Count images, classes and near-twins: the content of metrics/data.json."""
    first, second = twins.pairs.T
    return {
        "images": {name: int((split == i).sum()) for i, name in enumerate(SPLITS)},
        "malignant": {name: int(malignant[split == i].sum()) for i, name in enumerate(SPLITS)},
        "twins": {
            "pairs": len(twins.pairs),
            "cross_split_pairs": int((split[first] != split[second]).sum()),
            "conflicting_pairs": int((malignant[first] != malignant[second]).sum()),
            "groups": int(twins.group.max()) + 1,
            "leaked_test_images": int(test.leaked.sum()),
            "leak_free_test_images": int((~test.leaked).sum()),
            "leak_free_test_malignant": int(test.malignant[~test.leaked].sum()),
        },
    }
