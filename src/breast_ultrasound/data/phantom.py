"""Speckle phantoms: generated images in BreastMNIST's format, for tests and the demonstration.

They look like B-mode ultrasound from afar and prove nothing about it: benign masses are round
with a bright rim, malignant ones ragged with a shadow below, normal tissue has layers. A tenth of
the images are near-duplicates of an earlier one, some mirrored, some under the opposite label.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from breast_ultrasound.data.image_set import SPLITS
from breast_ultrasound.data.official import FILE_LABEL_MALIGNANT
from breast_ultrasound.data.resplit import apportion

SPLIT_FRACTIONS = (0.7, 0.1, 0.2)  # the official split: 546, 78 and 156 of 780
MALIGNANT, BENIGN, NORMAL = range(3)
KIND_FRACTIONS = (0.27, 0.56, 0.17)  # BUSI: 210, 437 and 133 of 780
DUPLICATE_FRACTION = 0.1
CONFLICT_FRACTION = 0.1  # of the near-duplicates


def make_phantoms(n_images: int, seed: int, side: int = 28) -> dict[str, NDArray[np.uint8]]:
    """Generate `n_images` phantoms as the arrays of an official file.

    Returns:
        `train_images` (N, side, side) uint8, `train_labels` (N, 1) uint8, likewise val and test.
    """
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.repeat(np.arange(3), apportion(n_images, np.array(KIND_FRACTIONS))))
    images = np.stack([_phantom(int(kind), rng, side) for kind in kinds])
    malignant = kinds == MALIGNANT
    n_duplicates = round(DUPLICATE_FRACTION * n_images)
    chosen = rng.permutation(n_images)
    for i, (copy, original) in enumerate(
        zip(chosen[:n_duplicates], chosen[-n_duplicates:], strict=True)
    ):
        images[copy] = _near_duplicate(images[original], mirror=i % 8 == 0, rng=rng)
        conflicts = i < round(CONFLICT_FRACTION * n_duplicates)
        malignant[copy] = malignant[original] ^ conflicts
    labels = np.where(malignant, FILE_LABEL_MALIGNANT, 1 - FILE_LABEL_MALIGNANT)
    arrays: dict[str, NDArray[np.uint8]] = {}
    cuts = np.cumsum(apportion(n_images, np.array(SPLIT_FRACTIONS)))[:-1]
    for split, part in zip(SPLITS, np.split(np.arange(n_images), cuts), strict=True):
        arrays[f"{split}_images"] = images[part]
        arrays[f"{split}_labels"] = labels[part, None].astype(np.uint8)
    return arrays


def _phantom(kind: int, rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw one image, (side, side) uint8."""
    y, x = np.mgrid[:side, :side] / (side - 1.0)
    layers = zoom(rng.uniform(0.4, 1.0, (7, 2)), (side / 7, side / 2), order=1)
    tissue = layers * (1.0 - 0.4 * y)  # echoes fade with depth
    if kind != NORMAL:
        row, column = rng.uniform(0.35, 0.6), rng.uniform(0.35, 0.65)
        angle = np.arctan2(y - row, x - column)
        distance = np.hypot((y - row) * rng.uniform(1.0, 1.6), x - column)
        radius = np.full_like(angle, rng.uniform(0.15, 0.28))
        if kind == MALIGNANT:
            for lobes in range(3, 8):
                wave = np.sin(lobes * angle + rng.uniform(0, 2 * np.pi))
                radius += rng.uniform(0.0, 0.035) * wave
        inside = distance < radius
        below = (np.abs(x - column) < radius) & (y > row) & ~inside
        tissue[below] *= rng.uniform(0.3, 0.8) if kind == MALIGNANT else rng.uniform(1.0, 1.4)
        if kind == BENIGN:
            tissue[np.abs(distance - radius) < 0.04] *= rng.uniform(1.0, 1.6)
        tissue[inside] *= rng.uniform(0.15, 0.5)
    speckle = gaussian_filter(
        rng.rayleigh(1.0, (side, side)), 0.6 * side / 28
    )  # fully developed speckle
    image: NDArray[np.uint8] = np.clip(tissue * speckle * 100, 0, 255).astype(np.uint8)
    return image


def _near_duplicate(
    image: NDArray[np.uint8], mirror: bool, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the image with other gain and a little noise, mirrored if asked."""
    source = image[:, ::-1] if mirror else image
    noisy = source * rng.uniform(0.8, 1.1) + rng.uniform(-8, 8) + rng.normal(0, 3, source.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
