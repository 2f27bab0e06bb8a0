"""Near-duplicates in any image set with splits: what `breast-ultrasound audit` reports."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import SIDE
from breast_ultrasound.data.near_duplicates import NearDuplicates, conflicting
from breast_ultrasound.data.pictures import open_picture, pictures_in, shrink
from breast_ultrasound.data.resplit import clean_split
from breast_ultrasound.files import BAD_ZIP, InputError, read_arrays

NO_LABEL = ""
MAX_LABELS, MAX_GROUPS = 10, 20  # that a summary spells out
MAX_NAMES = 10  # of arrays, that a message spells out


@dataclass(frozen=True)
class AuditSet:
    """N images of any origin, as the search for near-duplicates wants them.

    Attributes:
        images: (N, 28, 28) uint8, grey, averaged down.
        split: (N,) str, the split each belongs to.
        label: (N,) str, its label, or nothing where there are none.
        name: (N,) str, how to find it: a path, or a split and an index.
    """

    images: NDArray[np.uint8]
    split: NDArray[np.str_]
    label: NDArray[np.str_]
    name: NDArray[np.str_]


def read_audit_set(path: Path, splits: Sequence[str]) -> AuditSet:
    """Read a MedMNIST-style npz, or a folder with a folder of images for each split.

    Args:
        splits: which splits, by name; none means all that are there.

    Raises:
        InputError: nothing there, fewer than two splits, or an image or array that is no image.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give an npz file or a folder of splits")
    parts = _read_folder(path, splits) if path.is_dir() else _read_npz(path, splits)
    if len({str(part.split[0]) for part in parts}) < 2:
        have = ", ".join(str(part.split[0]) for part in parts) or "none"
        raise InputError(f"{path}: expected images of at least two splits, got {have}")
    return AuditSet(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0]))
    )


def _read_npz(path: Path, splits: Sequence[str]) -> list[AuditSet]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (*BAD_ZIP, ValueError):
        raise InputError(f"{path}: expected an npz file or a folder of splits") from None
    found = [name.removesuffix("_images") for name in names if name.endswith("_images")]
    if not found:
        have = ", ".join(names[:MAX_NAMES]) or "nothing"
        raise InputError(
            f"{path}: expected arrays named train_images, test_images and the like, and "
            f"train_labels where there are labels, got {have}"
        )
    parts = []
    for split in splits or found:
        wanted = [f"{split}_images", *({f"{split}_labels"} & set(names))]
        arrays = read_arrays(path, wanted)
        images = _shrink(arrays[f"{split}_images"], f"{path}: {split}_images")
        n_images = len(images)
        label = arrays.get(f"{split}_labels", np.full(n_images, NO_LABEL))
        if label.shape[:1] != (n_images,):
            raise InputError(
                f"{path}: {split}: expected one label per image, got {n_images} images "
                f"and labels of shape {label.shape}"
            )
        parts.append(
            AuditSet(
                images,
                np.full(n_images, split),
                np.array([_words(row) for row in label], dtype=str),
                np.array([f"{split}[{i}]" for i in range(n_images)], dtype=str),
            )
        )
    return [part for part in parts if len(part.images)]


def _words(label: Any) -> str:
    """Return a label as text; whole numbers read the same whatever their type."""
    return " ".join(str(int(v) if _is_whole(v) else v) for v in np.atleast_1d(label).ravel())


def _is_whole(value: Any) -> bool:
    return isinstance(value, (np.integer, np.bool_)) or (
        isinstance(value, np.floating) and value.is_integer()
    )


def _shrink(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return images (N, H, W), (N, H, W, 1) or (N, H, W, 3) uint8 as grey (N, 28, 28)."""
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise InputError(
            f"{name}: expected images of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3), "
            f"got {images.shape}"
        )
    if images.dtype != np.uint8:
        raise InputError(f"{name}: expected dtype uint8, got {images.dtype}")
    if images.ndim == 3 and images.shape[1:] == (SIDE, SIDE):
        return images
    from PIL import Image

    shrunk = np.empty((len(images), SIDE, SIDE), dtype=np.uint8)
    for i, image in enumerate(images):
        shrunk[i] = shrink(Image.fromarray(image))
    return shrunk


def _read_folder(path: Path, splits: Sequence[str]) -> list[AuditSet]:
    names = list(splits) or sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    parts = []
    for split in names:
        folder = path / split
        if not folder.is_dir():
            have = ", ".join(sorted(entry.name for entry in path.iterdir())) or "nothing"
            raise InputError(f"{folder}: no such folder; {path} has {have}")
        files = pictures_in(folder)
        if files:
            parts.append(
                AuditSet(
                    np.stack([_read_image(file, path) for file in files]),
                    np.full(len(files), split),
                    # split/label/image, as torchvision's ImageFolder has it
                    np.array([_label_of(file, folder) for file in files], dtype=str),
                    np.array([str(file.relative_to(path)) for file in files], dtype=str),
                )
            )
    return parts


def _label_of(file: Path, folder: Path) -> str:
    parts = file.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else NO_LABEL


def _read_image(file: Path, root: Path) -> NDArray[np.uint8]:
    if not file.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{file}: expected a file in {root}, got a link out of it; copy it there")
    with open_picture(file) as picture:
        return shrink(picture)


def summarise(images: AuditSet, duplicates: NearDuplicates, correlation: float) -> dict[str, Any]:
    """Return counts: images, pairs, groups, and for each split the images that leak.

    An image leaks when it has a near-duplicate in another split.
    """
    first, second = duplicates.pairs.T
    across = images.split[first] != images.split[second]
    conflict = conflicting(images.label, duplicates)
    leaking = np.zeros(len(images.images), dtype=np.bool_)
    leaking[duplicates.pairs[across]] = True
    splits = list(dict.fromkeys(images.split.tolist()))
    return {
        "correlation": correlation,
        "pairs": len(duplicates.pairs),
        "cross_split_pairs": int(across.sum()),
        "conflicting_pairs": int(conflict.sum()),
        "groups": int(duplicates.group.max()) + 1,
        "splits": {
            name: {
                "images": int((images.split == name).sum()),
                "leaking": int(leaking[images.split == name].sum()),
            }
            for name in splits
        },
    }


def pair_rows(images: AuditSet, duplicates: NearDuplicates) -> tuple[list[str], list[list[Any]]]:
    """Return a table of the pairs, the strongest first: column names, then rows."""
    rows = []
    for i in np.argsort(-duplicates.correlation, kind="stable"):
        one, other = duplicates.pairs[i]
        rows.append(
            [
                images.name[one],
                images.name[other],
                images.split[one],
                images.split[other],
                images.label[one],
                images.label[other],
                float(duplicates.correlation[i]),
                int(duplicates.mirrored[i]),
            ]
        )
    columns = ["first", "second", "first_split", "second_split", "first_label", "second_label"]
    return [*columns, "correlation", "mirrored"], rows


def in_conflict(images: AuditSet, duplicates: NearDuplicates) -> NDArray[np.bool_]:
    """Return which images, (N,), are of a group whose near-duplicates carry different labels."""
    first = duplicates.pairs[conflicting(images.label, duplicates), 0]
    return np.isin(duplicates.group, duplicates.group[first])


def assign_splits(
    images: AuditSet, duplicates: NearDuplicates, seed: int, without_conflicts: bool
) -> NDArray[np.str_]:
    """Return a split for each image, (N,), with near-duplicates in one; see `clean_split`.

    Args:
        without_conflicts: images of groups with different labels go nowhere: their split is empty.
    """
    kept = (
        ~in_conflict(images, duplicates)
        if without_conflicts
        else np.full(len(duplicates.group), True)
    )
    split = np.full(len(kept), "", dtype=images.split.dtype)
    split[kept] = clean_split(images.label[kept], duplicates.group[kept], images.split[kept], seed)
    return split


def split_arrays(path: Path, images: AuditSet, split: NDArray[np.str_]) -> dict[str, NDArray[Any]]:
    """Return the arrays of the npz file that `images` were read from, assigned by `split`."""
    present = list(dict.fromkeys(images.split.tolist()))
    arrays: dict[str, NDArray[Any]] = {}
    for kind in ("images", "labels") if (images.label != NO_LABEL).any() else ("images",):
        parts = read_arrays(path, [f"{name}_{kind}" for name in present])
        whole = np.concatenate([parts[f"{name}_{kind}"] for name in present])
        arrays |= {f"{name}_{kind}": whole[split == name] for name in present}
    return arrays


def image_rows(
    images: AuditSet, duplicates: NearDuplicates, split: NDArray[np.str_]
) -> tuple[list[str], list[list[Any]]]:
    """Return a table of where each image went: column names, then rows."""
    conflict = in_conflict(images, duplicates).astype(int)
    columns = images.name, images.label, duplicates.group, conflict, split
    rows = [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return ["image", "label", "group", "conflict", "new_split"], rows


def split_lines(images: AuditSet, split: NDArray[np.str_]) -> list[str]:
    """Say in a line for each split how many images of which label it has now."""
    lines = []
    for name in dict.fromkeys(images.split.tolist()):
        label, count = np.unique(images.label[split == name], return_counts=True)
        if len(label) > MAX_LABELS or label.tolist() == [NO_LABEL]:
            of_labels = ""
        else:
            of_labels = ", ".join(
                f"{n} labelled {word}" for word, n in zip(label, count, strict=True)
            )
        lines.append(f"{name:12}{count.sum():8} images  {of_labels}".rstrip())
    return lines


def conflict_lines(
    images: AuditSet, duplicates: NearDuplicates, split: NDArray[np.str_]
) -> list[str]:
    """Name the groups of near-duplicates with different labels, and say what became of them."""
    conflict = in_conflict(images, duplicates)
    lines = []
    for group in np.unique(duplicates.group[conflict])[:MAX_GROUPS]:
        members = np.nonzero(duplicates.group == group)[0]
        place = str(split[members[0]]) or "left out"
        words = ", ".join(f"{images.name[i]} labelled {images.label[i]}" for i in members)
        lines.append(f"conflict ({place}): {words}")
    more = len(np.unique(duplicates.group[conflict])) - len(lines)
    return lines + ([f"… and {more} more conflicts: --csv has them all"] if more else [])
