"""Near-duplicates in any image set with splits: what `breast-ultrasound audit` reports."""

import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.folders import subfolders
from breast_ultrasound.data.image_set import THUMBNAIL, ImageSet
from breast_ultrasound.data.near_duplicates import NearDuplicates, conflicting
from breast_ultrasound.data.pictures import look_into, open_picture, to_square, within
from breast_ultrasound.data.resplit import clean_split
from breast_ultrasound.files import BAD_ZIP, InputError, read_arrays

NO_LABEL = ""
MAX_LABELS, MAX_GROUPS = 10, 20  # that a summary spells out
MAX_NAMES = 10  # of arrays, that a message spells out


def read_audit_set(
    path: Path, splits: Sequence[str], exclude: Sequence[str] = ()
) -> tuple[ImageSet, dict[str, int]]:
    """Read a MedMNIST-style npz, or a folder with a folder of images for each split.

    Args:
        splits: which splits, by name; none means all that are there.
        exclude: patterns of paths in the folder that are left out.

    Returns:
        the images, at 28 pixels, and what was left out: numbers by words.

    Raises:
        InputError: nothing there, fewer than two splits, or an image or array that is no image.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give an npz file or a folder of splits")
    if path.is_dir():
        images, left_out = _read_folder(path, splits, exclude)
    else:
        images, left_out = _read_npz(path, splits), {}
    found = list(dict.fromkeys(images.split.tolist()))
    if len(found) < 2:
        have = ", ".join(found) or "none"
        beside = "".join(f"; {n} {words}" for words, n in left_out.items() if n)
        raise InputError(f"{path}: expected images of at least two splits, got {have}{beside}")
    return images, left_out


def _read_npz(path: Path, splits: Sequence[str]) -> ImageSet:
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
    images, labels, origin, number = [], [], [], []
    for split in splits or found:
        wanted = [f"{split}_images", *({f"{split}_labels"} & set(names))]
        arrays = read_arrays(path, wanted)
        thumbnails = _thumbnails(arrays[f"{split}_images"], f"{path}: {split}_images")
        n_images = len(thumbnails)
        label = arrays.get(f"{split}_labels", np.full(n_images, NO_LABEL))
        if label.shape[:1] != (n_images,):
            raise InputError(
                f"{path}: {split}: expected one label per image, got {n_images} images "
                f"and labels of shape {label.shape}"
            )
        images.append(thumbnails)
        labels += [_words(row) for row in label]
        origin += [split] * n_images
        number += [f"{split}[{i}]" for i in range(n_images)]
    return ImageSet.of(np.concatenate(images), label=labels, split=origin, name=number)


def _words(label: Any) -> str:
    """Return a label as text; whole numbers read the same whatever their type."""
    return " ".join(str(int(v) if _is_whole(v) else v) for v in np.atleast_1d(label).ravel())


def _is_whole(value: Any) -> bool:
    return isinstance(value, (np.integer, np.bool_)) or (
        isinstance(value, np.floating) and value.is_integer()
    )


def _thumbnails(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
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
    if images.shape[1:] == (THUMBNAIL, THUMBNAIL):
        return images
    from PIL import Image

    thumbnails = np.empty((len(images), THUMBNAIL, THUMBNAIL), dtype=np.uint8)
    for i, image in enumerate(images):
        thumbnails[i] = to_square(Image.fromarray(image), THUMBNAIL)
    return thumbnails


def _read_folder(
    path: Path, splits: Sequence[str], exclude: Sequence[str]
) -> tuple[ImageSet, dict[str, int]]:
    names = list(splits) or [folder.name for folder in subfolders(path)]
    files: list[Path] = []
    split_of: list[str] = []
    left_out: Counter[str] = Counter()
    for split in names:
        if not (path / split).is_dir():
            have = ", ".join(sorted(entry.name for entry in path.iterdir())) or "nothing"
            raise InputError(f"{path / split}: no such folder; {path} has {have}")
        within(path / split, path)
        content = look_into(path / split, path, exclude)
        files += content.pictures
        split_of += [split] * len(content.pictures)
        left_out.update(content.counts())
    images = np.empty((len(files), THUMBNAIL, THUMBNAIL), dtype=np.uint8)
    for i, file in enumerate(files):
        with open_picture(file) as picture:
            images[i] = to_square(picture, THUMBNAIL)
    found = ImageSet.of(
        images,
        label=[_label_of(file, path) for file in files],
        split=split_of,
        name=[file.relative_to(path).as_posix() for file in files],
    )
    return found, dict(left_out)


def _label_of(file: Path, root: Path) -> str:
    """Return the class of a picture: split/class/picture, as torchvision's ImageFolder has it."""
    _, *below = file.relative_to(root).parts
    return below[0] if len(below) > 1 else NO_LABEL


def summarise(images: ImageSet, duplicates: NearDuplicates, correlation: float) -> dict[str, Any]:
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


PAIR_COLUMNS = ("first", "second", "first_split", "second_split", "first_label", "second_label",
                "correlation", "mirrored")  # fmt: skip


def pair_rows(images: ImageSet, duplicates: NearDuplicates) -> Iterator[list[Any]]:
    """Yield a row per pair, of `PAIR_COLUMNS`, the strongest first."""
    for i in np.argsort(-duplicates.correlation, kind="stable"):
        one, other = duplicates.pairs[i]
        yield [
            images.name[one],
            images.name[other],
            images.split[one],
            images.split[other],
            images.label[one],
            images.label[other],
            float(duplicates.correlation[i]),
            int(duplicates.mirrored[i]),
        ]


def in_conflict(images: ImageSet, duplicates: NearDuplicates) -> NDArray[np.bool_]:
    """Return which images, (N,), are of a group whose near-duplicates carry different labels."""
    first = duplicates.pairs[conflicting(images.label, duplicates), 0]
    return np.isin(duplicates.group, duplicates.group[first])


def assign_splits(
    images: ImageSet, duplicates: NearDuplicates, seed: int, without_conflicts: bool
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


def split_arrays(path: Path, images: ImageSet, split: NDArray[np.str_]) -> dict[str, NDArray[Any]]:
    """Return the arrays of the npz file that `images` were read from, assigned by `split`."""
    present = list(dict.fromkeys(images.split.tolist()))
    arrays: dict[str, NDArray[Any]] = {}
    for kind in ("images", "labels") if (images.label != NO_LABEL).any() else ("images",):
        parts = read_arrays(path, [f"{name}_{kind}" for name in present])
        whole = np.concatenate([parts[f"{name}_{kind}"] for name in present])
        arrays |= {f"{name}_{kind}": whole[split == name] for name in present}
    return arrays


def image_rows(
    images: ImageSet, duplicates: NearDuplicates, split: NDArray[np.str_]
) -> tuple[list[str], list[list[Any]]]:
    """Return a table of where each image went: column names, then rows."""
    conflict = in_conflict(images, duplicates).astype(int)
    columns = images.name, images.label, duplicates.group, conflict, split
    rows = [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return ["image", "label", "group", "conflict", "new_split"], rows


def split_lines(images: ImageSet, split: NDArray[np.str_]) -> list[str]:
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
    images: ImageSet, duplicates: NearDuplicates, split: NDArray[np.str_]
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
