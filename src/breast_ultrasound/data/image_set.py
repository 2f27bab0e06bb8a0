"""Images of any origin as arrays: what is trained on, scored, grouped and audited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.files import InputError, read_arrays, write_arrays

SPLITS = ("train", "val", "test")
THUMBNAIL = 28  # pixels a side, of what near-duplicates are looked for on
MIN_SIDE, MAX_SIDE = 28, 256  # pixels, of images
COLUMN = "column_"  # before the name of a further column, in files
# Of the arrays in files, in a machine's own byte order: a file's hash is of one order.
DTYPES = {
    "images": "uint8",
    "thumbnails": "uint8",
    "malignant": "bool",
    "label": "str",
    "split": "str",
    "patient": "str",
    "name": "str",
    "group": "int64",
    "leaked": "bool",
}


@dataclass(frozen=True)
class ImageSet:
    """N grey images of one size and what is known of each.

    Attributes:
        images: (N, S, S) uint8, S from 28 to 256; may be mapped from a file.
        thumbnails: (N, 28, 28) uint8, on which near-duplicates are looked for.
        malignant: (N,) bool, True for malignant; where nothing is predicted, False.
        label: (N,) str, as it was read; "" where there is none.
        split: (N,) str, of SPLITS or what a file names; "" where there is none.
        patient: (N,) str; "" where the patient is not known.
        name: (N,) str, how to find the image: a path, or a split and an index.
        group: (N,) int64, what stays together: a patient's images and near-duplicates.
        leaked: (N,) bool, whether a near-duplicate stands on the other side of the dev/test border.
        columns: further columns of a table, (N,) str each, by name.
    """

    images: NDArray[np.uint8]
    thumbnails: NDArray[np.uint8]
    malignant: NDArray[np.bool_]
    label: NDArray[np.str_]
    split: NDArray[np.str_]
    patient: NDArray[np.str_]
    name: NDArray[np.str_]
    group: NDArray[np.int64]
    leaked: NDArray[np.bool_]
    columns: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        images: NDArray[np.uint8],
        malignant: NDArray[np.bool_] | None = None,
        *,
        label: Sequence[str] | NDArray[np.str_] | None = None,
        split: Sequence[str] | NDArray[np.str_] | None = None,
        patient: Sequence[str] | NDArray[np.str_] | None = None,
        name: Sequence[str] | NDArray[np.str_] | None = None,
        columns: Mapping[str, Sequence[str] | NDArray[np.str_]] | None = None,
    ) -> Self:
        """Return images (N, S, S) uint8 with what is given; each is a group of its own.

        Without labels they are `malignant` and `benign`, without names the indices.
        """
        n_images = len(images)
        truth = np.zeros(n_images, dtype=np.bool_) if malignant is None else malignant
        if label is None and malignant is not None:
            label = np.where(malignant, "malignant", "benign")
        if name is None:
            name = [str(i) for i in range(n_images)]
        return cls(
            images=images,
            thumbnails=thumbnails_of(images),
            malignant=truth,
            label=_words(label, n_images),
            split=_words(split, n_images),
            patient=_words(patient, n_images),
            name=_words(name, n_images),
            group=np.arange(n_images),
            leaked=np.zeros(n_images, dtype=np.bool_),
            columns={key: _words(given, n_images) for key, given in (columns or {}).items()},
        )

    @property
    def side(self) -> int:
        """Pixels a side."""
        return int(self.images.shape[1])

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Return the images that a mask (N,) bool, or indices, choose."""
        parts = {name: array[chosen] for name, array in vars(self).items() if name != "columns"}
        return type(self)(
            **parts, columns={name: column[chosen] for name, column in self.columns.items()}
        )

    def save(self, path: Path) -> None:
        """Write the set as an npz file."""
        columns = {COLUMN + name: column for name, column in self.columns.items()}
        arrays = {name: array for name, array in vars(self).items() if name != "columns"}
        write_arrays(path, {**arrays, **columns})

    @classmethod
    def load(cls, path: Path, may_be_empty: bool = False) -> Self:
        """Read a set that `save` wrote.

        Raises:
            InputError: no such file, or an array of another dtype or shape.
        """
        arrays: dict[str, Any] = read_arrays(path, list(DTYPES), COLUMN)
        images = arrays["images"]
        if not (images.size or may_be_empty):
            raise InputError(f"{path}: images: expected at least one, got none")
        n_images = len(images)
        for name, array in arrays.items():
            dtype = np.dtype(DTYPES.get(name, "str"))
            shape: tuple[int, ...] = (n_images,)
            if name == "thumbnails":
                shape = (n_images, THUMBNAIL, THUMBNAIL)
            elif name == "images":
                shape = (n_images, *array.shape[1:2], *array.shape[1:2])
            # Texts are as long as they are.
            same = (
                array.dtype.kind == "U" and array.dtype.isnative
                if dtype.kind == "U"
                else (array.dtype == dtype)
            )
            if not same or array.shape != shape:
                raise InputError(
                    f"{path}: {name}: expected {dtype.name} of shape {shape}, "
                    f"got {array.dtype} of shape {array.shape}; run `dvc repro` again"
                )
        columns = {name: arrays.pop(name) for name in list(arrays) if name.startswith(COLUMN)}
        return cls(
            **arrays, columns={name[len(COLUMN) :]: column for name, column in columns.items()}
        )


def _words(given: Sequence[str] | NDArray[np.str_] | None, n_images: int) -> NDArray[np.str_]:
    return np.array([""] * n_images if given is None else given, dtype=np.str_)


def thumbnails_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images (N, S, S) uint8 at 28×28: as they are, or scaled by PIL's bilinear filter."""
    if images.shape[1:] == (THUMBNAIL, THUMBNAIL):
        return images
    from PIL import Image

    thumbnails = np.empty((len(images), THUMBNAIL, THUMBNAIL), dtype=np.uint8)
    for i, image in enumerate(images):
        scaled = Image.fromarray(image).resize((THUMBNAIL,) * 2, Image.Resampling.BILINEAR)
        thumbnails[i] = np.asarray(scaled)
    return thumbnails


def joined(parts: Sequence[ImageSet]) -> ImageSet:
    """Return several sets of images of one size as one, groups kept apart; at least one set.

    Columns that only some of them have are empty for the others.
    """
    offsets = np.cumsum([0, *(int(part.group.max(initial=-1)) + 1 for part in parts[:-1])])
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in DTYPES
        if name != "group"
    }
    names = dict.fromkeys(name for part in parts for name in part.columns)
    return ImageSet(
        **arrays,
        group=np.concatenate([part.group + n for part, n in zip(parts, offsets, strict=True)]),
        columns={
            name: np.concatenate([part.columns.get(name, np.full(len(part), "")) for part in parts])
            for name in names
        },
    )
