"""A hospital's own images: a folder with a table, or with a folder per class."""

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from breast_ultrasound.data.folders import SPLIT_NAMES, LabelledFile, labelled_files
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.pictures import read_picture
from breast_ultrasound.data.tables import plain, read_columns
from breast_ultrasound.files import InputError, expand
from breast_ultrasound.params import OwnImages

FIELD = re.compile(r"\{([^{}]*)\}")  # of a template
N_SHOWN = 3  # files that a message names
LONG = 1_000  # images, from which a bar shows how far reading got


def read_own_images(own: OwnImages, side: int) -> tuple[ImageSet, dict[str, int]]:
    """Read own images as grey ones of `side` pixels a side; nothing is written.

    Returns:
        the images, and what was left out: numbers by words.

    Raises:
        InputError: the folder, the table or its mapping is wrong, a picture cannot be read, or a
            label is neither malignant nor benign.
    """
    root = expand(own.images)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder of images; name another, or make it")
    files, counts = _of_table(root, own) if own.table else labelled_files(root, own.exclude)
    malignant = _classes([file.label for file in files], own)
    _check_once(files, root)
    names = own.columns.subgroups if own.table else []
    images = ImageSet.of(
        _read(files, root, side),
        malignant,
        label=[file.label for file in files],
        split=[file.split for file in files],
        patient=[file.patient for file in files],
        name=[file.path.relative_to(root).as_posix() for file in files],
        columns={name: [file.columns[i] for file in files] for i, name in enumerate(names)},
    )
    return images, counts


def table_places(table: Path, image: str) -> list[Path]:
    """Return the files that a table names, by row.

    Args:
        image: the column of their paths beside the table, or a template of columns.

    Raises:
        InputError: the table is none, or lacks a column, or a path leaves its folder.
    """
    columns = read_columns(table, _fields(image))
    n_rows = len(next(iter(columns.values())))
    return [_in_folder(table.parent, place, table) for place in _places(image, columns, n_rows)]


def _fields(image: str) -> list[str]:
    """Return the columns that a path is made of."""
    fields = FIELD.findall(image) or [image]
    if not all(fields):
        raise InputError(
            f"columns.image: expected a column, or a template that names columns as "
            f"Images/{{ID}}.png does, got {image!r}"
        )
    return fields


def _of_table(root: Path, own: OwnImages) -> tuple[list[LabelledFile], dict[str, int]]:
    columns, path = own.columns, root / str(own.table)
    fields = _fields(columns.image)
    optional = [name for name in (columns.patient, columns.split) if name]
    table = read_columns(path, [*fields, columns.label, *optional, *columns.subgroups])
    n_rows = len(table[columns.label])
    places = _places(columns.image, table, n_rows)
    empty = [""] * n_rows
    patients = table[columns.patient] if columns.patient else empty
    splits = table[columns.split] if columns.split else empty
    rows = zip(
        [_in_folder(root, place, path) for place in places],
        map(plain, table[columns.label]),
        [_split(word, path) for word in splits],
        map(plain, patients),
        zip(*(table[name] for name in columns.subgroups), strict=True)
        if columns.subgroups
        else [()] * n_rows,
        strict=True,
    )
    files = [LabelledFile(*row) for row in rows]
    kept = [file for file in files if not _excluded(file.path.relative_to(root), own.exclude)]
    return kept, {"excluded by pattern": len(files) - len(kept)}


def _places(image: str, table: Mapping[str, Sequence[str]], n_rows: int) -> list[str]:
    """Return the path of each row's image, from a column of paths or by a template."""
    if not FIELD.search(image):
        return list(table[image])

    def place(row: int) -> str:
        return FIELD.sub(lambda match: table[match[1]][row], image)

    return [place(row) for row in range(n_rows)]


def _in_folder(root: Path, place: str, table: Path) -> Path:
    path = Path(place.replace("\\", "/"))
    if not place or path.is_absolute() or ".." in path.parts:
        raise InputError(
            f"{table}: expected paths of images below {root}, got {place!r}; map the column with "
            "columns.image, or move the images"
        )
    return root / path


def _split(word: str, table: Path) -> str:
    if word and word.lower() not in SPLIT_NAMES:
        names = ", ".join(SPLIT_NAMES)
        raise InputError(f"{table}: expected splits named {names}, got {word!r}")
    return SPLIT_NAMES.get(word.lower(), "")


def _excluded(place: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch(place.as_posix(), p) or fnmatch(place.name, p) for p in patterns)


def _classes(labels: Sequence[str], own: OwnImages) -> NDArray[np.bool_]:
    """Return which labels, (N,), count as malignant; every one must be malignant or benign."""
    malignant, benign = set(map(plain, own.malignant)), set(map(plain, own.benign))
    found = Counter(labels)
    words = ", ".join(f"{label!r} ({n})" for label, n in found.most_common())
    if set(found) - malignant - benign:
        raise InputError(
            f"{own.images}: expected labels of malignant {sorted(malignant)} or benign "
            f"{sorted(benign)}, found {words}; name the others in one of the two, or exclude them"
        )
    for name, known in (("malignant", malignant), ("benign", benign)):
        if not set(found) & known:
            raise InputError(f"{own.images}: expected {name} images too, found {words}")
    return np.isin(np.array(labels), sorted(malignant))


def _check_once(files: Sequence[LabelledFile], root: Path) -> None:
    paths = Counter(file.path for file in files)
    if twice := [path for path, n in paths.items() if n > 1]:
        first = ", ".join(str(path.relative_to(root)) for path in twice[:N_SHOWN])
        raise InputError(
            f"{root}: expected each image once, got {len(twice)} more than once: {first}; "
            "remove the other rows"
        )


def _read(files: Sequence[LabelledFile], root: Path, side: int) -> NDArray[np.uint8]:
    """Read pictures one by one, (N, side, side); name the first of those that cannot be read."""
    images = np.empty((len(files), side, side), dtype=np.uint8)
    problems, inside = [], root.resolve()
    console = Console(file=sys.stderr, quiet=len(files) < LONG)
    for i, file in enumerate(track(files, "reading", console=console, transient=True)):
        try:
            if not file.path.resolve().is_relative_to(inside):
                raise InputError(f"{file.path}: expected a file in {root}, got a link out of it")
            images[i] = read_picture(file.path, side)
        except InputError as error:
            problems.append(str(error))
    if problems:
        words = " · ".join(problems[:N_SHOWN])
        raise InputError(f"{len(problems)} of {len(files)} images cannot be read: {words}")
    return images
