"""Folders of labelled images: a folder per class, as BUSI has it, or splits above classes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from breast_ultrasound.data.image_set import SPLITS
from breast_ultrasound.data.pictures import FolderContent, is_hidden, is_mask, look_into, within
from breast_ultrasound.files import InputError

# What splits are called, in small letters.
SPLIT_NAMES = {
    **{name: name for name in SPLITS},
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}


@dataclass(frozen=True)
class LabelledFile:
    """A picture's file and what is said of it; "" is unknown."""

    path: Path
    label: str
    split: str = ""
    patient: str = ""
    columns: tuple[str, ...] = ()


def labelled_files(root: Path, exclude: Sequence[str]) -> tuple[list[LabelledFile], dict[str, int]]:
    """Return the pictures of a folder per class, or of splits above classes, and what was left out.

    Raises:
        InputError: there is no folder per class, or a picture lies outside of them.
    """
    content = look_into(root, root, exclude)
    with_splits = _has_splits(root)
    files = [_labelled(path, root, with_splits) for path in content.pictures]
    if not files:
        raise InputError(f"{root}: expected a folder of pictures per class, {_found(content)}")
    return files, content.counts()


def _has_splits(root: Path) -> bool:
    names = [entry.name.lower() for entry in subfolders(root)]
    splits = [name for name in names if name in SPLIT_NAMES]
    if splits and len(splits) < len(names):
        others = sorted(set(names) - set(splits))
        raise InputError(
            f"{root}: expected folders of splits or of classes, got both: {splits[0]} and "
            f"{others[0]}"
        )
    return bool(splits)


def subfolders(root: Path) -> Iterator[Path]:
    """Yield the folders in a folder, by name, but hidden ones and masks."""
    for entry in sorted(root.iterdir()):
        as_in_masks = Path(entry.name, "picture")
        if entry.is_dir() and not is_hidden(entry.name) and not is_mask(as_in_masks):
            within(entry, root)
            yield entry


def _labelled(path: Path, root: Path, with_splits: bool) -> LabelledFile:
    *folders, _ = path.relative_to(root).parts
    split = SPLIT_NAMES[folders.pop(0).lower()] if with_splits and folders else ""
    if not folders:
        where = "split/class" if with_splits else "class"
        raise InputError(f"{path}: expected pictures in folders of {where}, got one above them")
    return LabelledFile(path, folders[0], split)


def _found(content: FolderContent) -> str:
    counts = Counter({words: n for words, n in content.counts().items() if n})
    return "got " + (", ".join(f"{n} {words}" for words, n in counts.items()) or "nothing")
