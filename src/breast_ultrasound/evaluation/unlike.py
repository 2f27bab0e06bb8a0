"""Images that no model of breast ultrasound should be asked about, and whether they are told."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.data.pictures import array_to_square
from breast_ultrasound.evaluation.intervals import auc_interval
from breast_ultrasound.ranking import auc

N_MADE = 300  # phantoms, and images of noise
# Of scikit-image, in its wheel; four tiles of each.
PHOTOGRAPHS = ("astronaut", "brick", "camera", "cat", "clock", "coffee", "coins", "grass", "gravel",
               "horse", "moon", "page", "rocket", "text")  # fmt: skip


def no_ultrasound(side: int, seed: int) -> dict[str, ImageSet]:
    """Return phantoms, photographs and noise, at `side` pixels a side, by name."""
    arrays = make_phantoms(N_MADE, seed, side)
    phantoms = np.concatenate([a for name, a in arrays.items() if name.endswith("_images")])
    noise = np.random.default_rng(seed).integers(0, 256, (N_MADE, side, side), dtype=np.uint8)
    return {
        "phantoms": ImageSet.of(phantoms),
        "photographs": photographs(side),
        "noise": ImageSet.of(noise),
    }


def photographs(side: int) -> ImageSet:
    """Return tiles of photographs, those of one photograph in a group."""
    from skimage import data

    tiles = []
    for name in PHOTOGRAPHS:
        photograph = np.asarray(getattr(data, name)())
        if photograph.dtype == np.bool_:
            photograph = photograph.astype(np.uint8) * 255
        if photograph.ndim == 3:
            photograph = photograph[..., :3]
        half = min(photograph.shape[:2]) // 2
        for top in (0, half):
            for left in (0, half):
                tile = photograph[top : top + half, left : left + half]
                tiles.append(array_to_square(np.ascontiguousarray(tile), side))
    images = ImageSet.of(np.stack(tiles))
    return replace(images, group=np.arange(len(tiles)) // 4)


def told_apart(
    home: ImageSet,
    other: ImageSet,
    alike_home: NDArray[np.float32],
    alike_other: NDArray[np.float32],
    confidence: float,
) -> dict[str, float]:
    """Return the AUC by which images of another kind are told, with its interval over groups.

    Args:
        home, other: N and M images.
        alike_home, alike_other: (N,) and (M,), correlations with the nearest learned image.
    """
    # In single precision: the last digits are the CPU's.
    score = -np.concatenate([alike_home, alike_other]).astype(np.float64).round(4)
    is_other = np.arange(len(score)) >= len(home)
    group = np.concatenate([home.group, other.group + 1 + home.group.max()])
    low, high = auc_interval(is_other, score, group, confidence)
    return {"auc": auc(is_other, score), "auc_low": low, "auc_high": high}
