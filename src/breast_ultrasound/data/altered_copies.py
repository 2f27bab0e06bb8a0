"""Which way of comparing finds altered copies: the reason for the one in data/near_duplicates.py.

Every image of the official file is copied with a change; a copy is found when it and its original
count as near-duplicates; of five changes of lighting the worst counts. Beside it stand the pairs
that the method finds among the originals, and at most how many of them are false: were that many
pairs unrelated, and disagreed in label as often as any two images, they would make all the
disagreement.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from breast_ultrasound.data.image_set import THUMBNAIL
from breast_ultrasound.data.near_duplicates import best_correlation, standardise

Images = NDArray[np.uint8]
Similarity = Callable[[Images, Images], NDArray[np.floating[Any]]]


def to_greys(values: NDArray[np.floating[Any]]) -> Images:
    """Return numbers as greys."""
    return values.round().clip(0, 255).astype(np.uint8)


def shift(images: Images, down: float, right: float) -> Images:
    """Move images by a number of pixels; the border repeats."""
    moved: Images = ndimage.shift(images, (0, down, right), order=1, mode="nearest")
    return moved


def rotate(images: Images, degrees: float) -> Images:
    """Turn images; the border repeats."""
    turned: Images = ndimage.rotate(images, degrees, (2, 1), reshape=False, order=1, mode="nearest")
    return turned


def crop(images: Images, margin: int) -> Images:
    """Cut a margin off all sides and enlarge what is left."""
    box = (margin, margin, THUMBNAIL - margin, THUMBNAIL - margin)
    size, bicubic = (THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC
    return np.stack(
        [np.asarray(Image.fromarray(i).crop(box).resize(size, bicubic)) for i in images]
    )


def changes(images: Images) -> dict[str, list[Images]]:
    """Return altered copies, by what was done to them."""
    grey = images.astype(np.float64)
    noise = np.random.default_rng(0).normal(0, 10, grey.shape)
    lighting = (grey - 40, grey + 40, (grey - 128) * 0.6 + 128, (grey - 128) * 1.5 + 128,
                255 * (grey / 255) ** 0.6)  # fmt: skip
    return {
        "lighting": [to_greys(changed) for changed in lighting],
        "noise": [to_greys(grey + noise)],
        "mirror": [images[:, :, ::-1]],
        "shift ½": [shift(images, 0, 0.5)],
        "shift 1": [shift(images, 0, 1)],
        "shift 1, 1": [shift(images, 1, 1)],
        "shift 2": [shift(images, 0, 2)],
        "crop 1": [crop(images, 1)],
        "crop 2": [crop(images, 2)],
        "turn 3°": [rotate(images, 3)],
        "turn 5°": [rotate(images, 5)],
    }


def straight(one: Images, other: Images) -> NDArray[np.float64]:
    """Correlate pixels as they are."""
    return standardise(one) @ standardise(other).T


def or_mirrored(one: Images, other: Images) -> NDArray[np.float64]:
    """Correlate pixels as they are or mirrored."""
    return np.maximum(straight(one, other), straight(one, other[:, :, ::-1]))


def smoothed(one: Images, other: Images) -> NDArray[np.float64]:
    """Correlate as the project does, after a slight blur."""
    return best_correlation(*(ndimage.gaussian_filter(i, (0, 0.7, 0.7)) for i in (one, other)))


def hashed(function: Callable[[Image.Image], Any]) -> Similarity:
    """Compare perceptual hashes, of images or their mirror images, by −1 × the bits that differ."""

    def bits(images: Images) -> NDArray[np.float32]:
        hashes = [function(Image.fromarray(np.ascontiguousarray(i))).hash for i in images]
        return np.stack(hashes).reshape(len(images), -1).astype(np.float32)

    def compare(one: Images, other: Images) -> NDArray[np.float32]:
        ours = bits(one)
        distances = []
        for theirs in (bits(other), bits(other[:, :, ::-1])):
            distances.append(ours @ (1 - theirs).T + (1 - ours) @ theirs.T)
        return -np.minimum(*distances)

    return compare


def methods() -> dict[str, tuple[Similarity, tuple[float, ...]]]:
    """Return the ways of comparing, by name, with the thresholds to try."""
    import imagehash

    return {
        "correlation": (straight, (0.93, 0.95, 0.97)),
        "… or mirrored": (or_mirrored, (0.93, 0.95, 0.97)),
        "… or shifted by 1": (best_correlation, (0.90, 0.93, 0.94, 0.95, 0.96, 0.97, 0.99)),
        "… and blurred": (smoothed, (0.95, 0.96, 0.965, 0.97, 0.98)),
        "pHash": (hashed(imagehash.phash), (-14, -12, -10, -8)),
        "dHash": (hashed(imagehash.dhash), (-12, -11, -10, -8)),
    }


def rows_of(images: Images, malignant: NDArray[np.bool_]) -> tuple[list[str], list[list[Any]]]:
    """Return the table, one row per method and threshold: column names, then rows.

    Columns are the pairs found among the originals, at most how many of them are false, and the
    share of copies found, by what was done to them.
    """
    copies = changes(images)
    first, second = np.triu_indices(len(images), k=1)
    opposite = malignant[first] != malignant[second]
    rows = []
    for name, (similarity, thresholds) in methods().items():
        pairs = similarity(images, images)[first, second]
        found = [[np.diag(similarity(images, c)) for c in kind] for kind in copies.values()]
        for threshold in thresholds:
            near = pairs >= threshold
            false = min(near.sum(), opposite[near].sum() / opposite.mean())
            recall = [min(float((f >= threshold).mean()) for f in kind) for kind in found]
            shown = f"{threshold:.3g}" if threshold > 0 else f"{-threshold:.0f} bits"
            rows.append([name, shown, int(near.sum()), round(false), *recall])
    return ["compared_by", "from", "pairs", "false_at_most", *copies], rows


def summarise(columns: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    """Return the share of altered copies that the project's way finds at 0.95, by change."""
    (own,) = [row for row in rows if row[:2] == ["… or shifted by 1", "0.95"]]
    names = [
        name.replace(" ", "_").replace("°", "").replace(",", "").replace("½", "half")
        for name in columns[4:]
    ]
    return dict(zip(["pairs", "false_at_most", *names], own[2:], strict=True))
