"""Near-duplicates: images that show the same lesion in the same frame, or its mirror image."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray

BLOCK = 2048  # images; a block of correlations takes 16 MB
SINGLE_PRECISION = 1e-4  # more than float32 errs on a correlation; what is near is computed again
UNLIKE = 0.05  # of a set's own images that count as unlike it
MOST_COMPARED = 2000  # images, of which it is found
SHIFTS = (-1, 0, 1)  # pixels, down and across
THRESHOLDS = tuple(round(0.90 + 0.01 * i, 2) for i in range(10))  # at which results are compared
FREQUENCIES = 8  # each way, of the sketch that sorts out most pairs
MANY = 16  # candidates per image; of more, all products of a block are sooner done than theirs


@dataclass(frozen=True)
class NearDuplicates:
    """The near-duplicate pairs among N images, and the groups they join.

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

    @classmethod
    def joined(
        cls,
        pairs: NDArray[np.int64],
        correlation: NDArray[np.float64],
        mirrored: NDArray[np.bool_],
        n_images: int,
    ) -> Self:
        """Make the groups that pairs join: their connected components."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        first, second = pairs.T
        links = coo_array((np.ones(len(pairs)), (first, second)), shape=(n_images, n_images))
        _, group = connected_components(links, directed=False)
        return cls(pairs, correlation, mirrored, group.astype(np.int64))

    def above(self, correlation: float) -> Self:
        """Return the near-duplicates that a higher `correlation` leaves."""
        kept = self.correlation >= correlation
        parts = self.pairs[kept], self.correlation[kept], self.mirrored[kept]
        return self.joined(*parts, len(self.group))


def standardise(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return each image's pixels, (N, H, W) → (N, H·W), with mean 0 and norm 1.

    An image of one grey everywhere has no direction: it becomes zeros, which match no other.
    """
    pixels = images.reshape(len(images), -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(pixels, axis=1, keepdims=True)
    pixels /= np.where(norm == 0, 1, norm)
    return pixels


def find_near_duplicates(images: NDArray[np.uint8], correlation: float) -> NearDuplicates:
    """Pair the images whose pixels correlate at `correlation` or more.

    Copies may be mirrored, and shifted by a pixel: the best alignment counts, over the part where
    both images have pixels.

    Args:
        images: (N, H, W) uint8.
        correlation: Pearson's r over pixels, in (0, 1).

    Images of one grey everywhere are near-duplicates of those of the same grey. Every pair is
    looked at, a block of images against a block, so memory grows with N and the number of
    near-duplicates, and time with N². Groups are the connected components of the pairs.
    """
    pairs = _candidates(images, correlation - SINGLE_PRECISION)
    straight, mirror = _exact(images, pairs)
    best = np.maximum(straight, mirror).round(12)  # an image and its copy correlate at 1, not less
    kept = best >= correlation
    blank = _blank_pairs(images)
    together = np.concatenate([pairs[kept], blank])
    order = np.lexsort(together.T[::-1])
    return NearDuplicates.joined(
        together[order],
        np.concatenate([np.clip(best[kept], -1, 1), np.ones(len(blank))])[order],
        np.concatenate([(mirror > straight)[kept], np.zeros(len(blank), dtype=np.bool_)])[order],
        len(images),
    )


def _blank_pairs(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the pairs, (P, 2), of images of one and the same grey: they correlate with none."""
    flat = images.reshape(len(images), -1)
    if not flat.size:
        return np.empty((0, 2), dtype=np.int64)
    blank = np.nonzero(flat.min(axis=1) == flat.max(axis=1))[0]
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for grey in np.unique(flat[blank, 0]):
        alike = blank[flat[blank, 0] == grey]
        pairs.append(alike[np.stack(np.triu_indices(len(alike), k=1), axis=1)])
    return np.concatenate(pairs)


def _alignments(
    first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], bool]]:
    """Yield the overlapping parts of two stacks of images for every alignment, and if mirrored."""
    for mirrored in (False, True):
        turned = second[:, :, ::-1] if mirrored else second
        for down, right in product(SHIFTS, repeat=2):
            yield _overlap(first, down, right), _overlap(turned, -down, -right), mirrored


def _overlap(images: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """Cut images (N, H, W) to what another of their size covers when moved `down` and `right`."""
    height, width = images.shape[1:]
    rows = slice(max(down, 0), height + min(down, 0))
    return images[:, rows, max(right, 0) : width + min(right, 0)]


def _candidates(images: NDArray[np.uint8], correlation: float) -> NDArray[np.int64]:
    """Return the pairs, (P, 2) in ascending order, that reach `correlation` in single precision."""
    n_images = len(images)
    starts = range(0, n_images, BLOCK)
    found = [np.empty(0, dtype=np.int64)]  # first · N + second
    for first, second, _ in _alignments(images, images):
        rows, row_pixels = _sketch_and_pixels(first)
        columns, column_pixels = _sketch_and_pixels(second)
        for i in starts:
            # All shifts and the mirror turn round with the pair: each is looked at one way only.
            for j in starts[i // BLOCK :]:
                here, there = slice(i, i + BLOCK), slice(j, j + BLOCK)
                near = rows[here] @ columns[there].T >= correlation
                near = np.triu(near, k=1) if i == j else near
                one, other = np.divmod(np.flatnonzero(near), near.shape[1])
                exact = _products(row_pixels[here], one, column_pixels[there], other)
                kept = exact >= correlation
                found.append((one[kept] + i) * n_images + other[kept] + j)
        # Once for all alignments, not once each; sorting is faster than np.unique's hashing.
        together = np.sort(np.concatenate(found))
        found = [together[np.diff(together, prepend=-1) > 0]]
    return np.stack(np.divmod(found[0], n_images), axis=1)


def _sketch_and_pixels(
    images: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the sketches of images, (N, D), and their standardised pixels, (N, H·W)."""
    pixels = standardise(images)
    return _sketch(pixels.reshape(images.shape)), pixels.astype(np.float32)


def _sketch(pixels: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return few numbers per image, (N, D), whose products are at least the correlations.

    They are the low frequencies of the standardised pixels, (N, H, W), as they are in a cosine
    basis, and the length of the rest, since |⟨a, b⟩| ≤ |a|·|b| there (Cauchy and Schwarz).
    """
    from scipy.fft import dct

    down, across = (dct(np.eye(n), axis=0, norm="ortho")[:FREQUENCIES] for n in pixels.shape[1:])
    low = (down @ pixels @ across.T).reshape(len(pixels), -1)
    rest = np.einsum("nhw,nhw->n", pixels, pixels) - (low**2).sum(axis=1)
    return np.column_stack([low, np.sqrt(rest.clip(0))]).astype(np.float32)


def _products(
    rows: NDArray[np.float32],
    one: NDArray[np.int64],
    columns: NDArray[np.float32],
    other: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the products of rows `one` with columns `other`, (P,)."""
    if len(one) > MANY * BLOCK:
        return (rows @ columns.T)[one, other]
    products = np.empty(len(one), dtype=np.float32)
    for start in range(0, len(one), BLOCK):
        part = slice(start, start + BLOCK)
        products[part] = np.einsum("pd,pd->p", rows[one[part]], columns[other[part]])
    return products


def _exact(
    images: NDArray[np.uint8], pairs: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the correlations of pairs, (P,) float64 each: as they are, and with one mirrored."""
    best = np.full((2, len(pairs)), -1.0)
    for first, second, mirrored in _alignments(images, images):
        pixels, others = standardise(first), standardise(second)
        for start in range(0, len(pairs), BLOCK):
            part = slice(start, start + BLOCK)
            one, other = pairs[part].T
            correlation = np.einsum("pd,pd->p", pixels[one], others[other])
            best[int(mirrored), part] = np.maximum(best[int(mirrored), part], correlation)
    return best[0], best[1]


def nearest(
    images: NDArray[np.uint8], others: NDArray[np.uint8], correlation: float
) -> tuple[NDArray[np.float32], list[int | None]]:
    """Return how alike each image is to the other one that is most alike, and which that is.

    Args:
        images: (N, H, W) uint8.
        others: (M, H, W) uint8, at least one.
        correlation: from which on it is said which; None below.

    Returns:
        (N,) correlations in single precision, and N indices of others.
    """
    # Few are near-duplicates: single precision, in half the time, tells which may be.
    best = np.full((len(images), len(others)), -1, dtype=np.float32)
    for one, other, _ in _alignments(images, others):
        pixels, beside = (standardise(part).astype(np.float32) for part in (one, other))
        np.maximum(best, pixels @ beside.T, out=best)
    highest = best.max(axis=1)
    found: list[int | None] = [None] * len(images)
    for i in np.nonzero(highest >= correlation - SINGLE_PRECISION)[0].tolist():
        exact = best_correlation(images[i : i + 1], others)[0]
        if exact.max() >= correlation:
            found[i] = int(exact.argmax())
    return highest, found


def least_alike(images: NDArray[np.uint8], correlation: float) -> float:
    """Return below which correlation with the nearest image an image is unlike all of a set.

    One in twenty of the set's own images is, near-duplicates of it left out.

    Args:
        images: (N, H, W) uint8, at least two.
        correlation: from which on two are near-duplicates.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, MOST_COMPARED).astype(int))
    alike = best_correlation(images[chosen], images[chosen])
    alike[alike >= correlation] = -1
    return round(float(np.quantile(alike.max(axis=1), UNLIKE)), 6)


def best_correlation(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Correlate the pixels of all images with all others, in the best alignment.

    Args:
        images: (N, H, W) uint8.
        others: (M, H, W) uint8.

    Returns:
        (N, M) float64.
    """
    best = np.full((len(images), len(others)), -1.0)
    for one, other, _ in _alignments(images, others):
        best = np.maximum(best, standardise(one) @ standardise(other).T)
    return best.round(12)  # of a copy it is 1, not less; the last digits differ from CPU to CPU


def conflicting(label: NDArray[np.str_], duplicates: NearDuplicates) -> NDArray[np.bool_]:
    """Return which pairs, (P,) bool, have two labels, (N,) str, that differ; `""` is no label."""
    first, second = (label[side] for side in duplicates.pairs.T)
    return np.asarray((first != second) & (first != "") & (second != ""))
