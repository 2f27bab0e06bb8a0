"""The images as arrays: reading the official file, and the two sets the pipeline works on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.files import InputError, read_arrays, write_arrays

SPLITS = ("train", "val", "test")
SIDE = 28  # pixels
FILE_LABEL_MALIGNANT = 0  # medmnist.INFO["breastmnist"]["label"]
# Of an ImageSet's arrays, in a machine's own byte order: a file's hash is of one order.
DTYPES = {
    "images": "uint8",
    "malignant": "bool",
    "split": "int64",
    "group": "int64",
    "leaked": "bool",
}
ARRAYS = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))


@dataclass(frozen=True)
class ImageSet:
    """N images and what is known of each.

    Attributes:
        images: (N, 28, 28) uint8.
        malignant: (N,) bool, True for malignant, False for benign or normal.
        split: (N,) int64, index into SPLITS, of the split asked for (`data.split`).
        group: (N,) int64, the near-duplicate group; images of one group show one lesion.
        leaked: (N,) bool, whether a near-duplicate stands on the other side of the dev/test border.
    """

    images: NDArray[np.uint8]
    malignant: NDArray[np.bool_]
    split: NDArray[np.int64]
    group: NDArray[np.int64]
    leaked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, mask: NDArray[np.bool_]) -> Self:
        """Return the images where `mask`, (N,) bool, is true."""
        return type(self)(**{name: array[mask] for name, array in vars(self).items()})

    def save(self, path: Path) -> None:
        """Write the set as an npz file."""
        write_arrays(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a set that `save` wrote.

        Raises:
            InputError: no such file, or an array of another dtype or shape.
        """
        arrays: dict[str, Any] = read_arrays(path, list(DTYPES))
        shapes = dict.fromkeys(DTYPES, arrays["images"].shape[:1])
        shapes["images"] = (*shapes["images"], SIDE, SIDE)
        if not arrays["images"].size:
            raise InputError(f"{path}: images: expected at least one, got none")
        for name, array in arrays.items():
            if (array.dtype, array.shape) != (DTYPES[name], shapes[name]):
                raise InputError(
                    f"{path}: {name}: expected {DTYPES[name]} of shape {shapes[name]}, "
                    f"got {array.dtype} of shape {array.shape}; run `dvc repro` again"
                )
        return cls(**arrays)


def read_official(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int64]]:
    """Read a file in BreastMNIST's format and check it.

    Returns:
        images (N, 28, 28) uint8, malignant (N,) bool, split (N,) int64, in the order of SPLITS.

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
    images = np.concatenate([arrays[f"{split}_images"] for split in SPLITS])
    labels = np.concatenate([arrays[f"{split}_labels"] for split in SPLITS])[:, 0]
    sizes = [len(arrays[f"{split}_images"]) for split in SPLITS]
    return (
        images.astype(np.uint8),
        labels == FILE_LABEL_MALIGNANT,
        np.repeat(np.arange(len(SPLITS)), sizes),
    )


def _check_images(path: Path, name: str, images: NDArray[Any]) -> None:
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or not len(images):
        raise InputError(
            f"{path}: {name}: expected images of shape (N, {SIDE}, {SIDE}), got {images.shape}"
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
