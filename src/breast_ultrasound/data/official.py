"""BreastMNIST's official files, and files in their format."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import MAX_SIDE, MIN_SIDE, SPLITS, ImageSet
from breast_ultrasound.files import InputError, read_arrays

FILE_LABEL_MALIGNANT = 0  # medmnist.INFO["breastmnist"]["label"]
ARRAYS = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))


def read_official(path: Path) -> ImageSet:
    """Read a file in BreastMNIST's format and check it; images in the order of SPLITS.

    Raises:
        InputError: a wrong shape, dtype or label, images without contrast, or a missing class.
    """
    arrays = read_arrays(path, ARRAYS)
    for name, array in arrays.items():
        (_check_images if name.endswith("images") else _check_labels)(path, name, array)
    for split in SPLITS:
        n_images, n_labels = len(arrays[f"{split}_images"]), len(arrays[f"{split}_labels"])
        if n_images != n_labels:
            raise InputError(
                f"{path}: {split}: expected one label per image, got {n_images} images "
                f"and {n_labels} labels"
            )
    parts = [arrays[f"{split}_images"] for split in SPLITS]
    if len({part.shape[1:] for part in parts}) > 1:
        sizes = ", ".join(f"{part.shape[2]}×{part.shape[1]}" for part in parts)
        raise InputError(f"{path}: expected images of one size, got {sizes}")
    labels = np.concatenate([arrays[f"{split}_labels"] for split in SPLITS])[:, 0]
    return ImageSet.of(
        np.concatenate(parts).astype(np.uint8),
        labels == FILE_LABEL_MALIGNANT,
        split=np.repeat(SPLITS, [len(part) for part in parts]),
        name=[
            f"{split}[{i}]"
            for split, part in zip(SPLITS, parts, strict=True)
            for i in range(len(part))
        ],
    )


def _check_images(path: Path, name: str, images: NDArray[Any]) -> None:
    side = images.shape[-1] if images.ndim == 3 else 0
    if not (len(images) and MIN_SIDE <= side <= MAX_SIDE and images.shape[1] == side):
        raise InputError(
            f"{path}: {name}: expected images of shape (N, S, S), S from {MIN_SIDE} to "
            f"{MAX_SIDE}, got {images.shape}"
        )
    if images.dtype != np.uint8:
        raise InputError(f"{path}: {name}: expected dtype uint8, got {images.dtype}")
    if images.max() - images.min() < 2:
        raise InputError(
            f"{path}: {name}: expected greys from 0 to 255, "
            f"got {images.min()} to {images.max()} only"
        )


def _check_labels(path: Path, name: str, labels: NDArray[Any]) -> None:
    if labels.ndim != 2 or labels.shape[1:] != (1,):
        raise InputError(f"{path}: {name}: expected labels of shape (N, 1), got {labels.shape}")
    if labels.dtype.kind not in "ui":
        raise InputError(f"{path}: {name}: expected whole numbers, got dtype {labels.dtype}")
    values = np.unique(labels).tolist()
    if values != [0, 1]:
        raise InputError(
            f"{path}: {name}: expected labels 0 (malignant) and 1 (benign or normal), "
            f"both present, got {values}"
        )
