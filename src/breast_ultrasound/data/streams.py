"""Images of any number, one after the other: files, folders, patterns, tables and npz files."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.own_images import table_places
from breast_ultrasound.data.pictures import (
    SUFFIXES,
    is_excluded,
    is_hidden,
    is_mask,
    look_into,
    read_array,
    read_picture,
)
from breast_ultrasound.files import InputError, array_headers, array_rows

TABLES = frozenset({".csv", ".tsv"})


@dataclass
class Stream:
    """Images that are read as they are asked for.

    Attributes:
        files: that are read.
        n_images: how many there are.
        left_out: what of the folders was left out, numbers by words.
        arrays: names of those that are images, by npz file.
    """

    files: list[Path] = field(default_factory=list)
    n_images: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    arrays: dict[Path, list[str]] = field(default_factory=dict)

    def read(
        self, side: int, refused: Callable[[InputError], None] | None = None
    ) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Return each image by name, grey (side, side) uint8; see `read_picture`.

        Args:
            refused: is told of an image that cannot be read, and the others follow.

        Raises:
            InputError: an image cannot be read, and nobody is to be told; a file is cut short.
        """
        for name, image in self._images(side):
            try:
                yield name, image()
            except InputError as error:
                if refused is None:
                    raise
                refused(error)

    def _images(self, side: int) -> Iterator[tuple[str, Callable[[], NDArray[np.uint8]]]]:
        """Yield the name of each image, and what reads it."""
        for file in self.files:
            if file not in self.arrays:
                yield str(file), partial(read_picture, file, side)
                continue
            for array in self.arrays[file]:
                for i, image in enumerate(array_rows(file, array)):
                    name = f"{file}: {array}[{i}]"
                    yield name, partial(read_array, image, side, name)


def find_images(paths: Sequence[str], image: str, exclude: Sequence[str] = ()) -> Stream:
    """Find what `paths` name: pictures, folders, patterns as `*.png`, tables and npz files.

    Nothing is decoded yet.

    Args:
        image: of tables the column of the image's path, or a template of columns.
        exclude: patterns of paths below a folder, or of names, to leave out.
            Of folders and patterns masks are left out too; what is named itself is read.

    Raises:
        InputError: no images, a file that is not there, a table without the column.
    """
    stream = Stream()
    for path in [place for text in paths for place in _expand(text, exclude, stream)]:
        if path.is_dir():
            content = look_into(path, path, exclude)
            stream.files += content.pictures
            stream.left_out.update(content.counts())
        elif path.suffix.lower() == ".npz" and path.exists():
            if path not in stream.arrays:
                _add_npz(stream, path)
        elif path.suffix.lower() in TABLES:
            stream.files += _of_table(path, image)
        elif path.is_file():
            stream.files.append(path)
        elif path.exists():
            raise InputError(f"{path}: expected a file or a folder, got neither")
        else:
            raise InputError(f"{path}: no such file; give a picture or a folder of them")
    stream.n_images += len(stream.files) - len(stream.arrays)
    if not stream.n_images:
        kinds = ", ".join(f"{n} {words}" for words, n in stream.left_out.items() if n)
        raise InputError(
            f"{', '.join(paths)}: expected pictures ({', '.join(sorted(SUFFIXES))}), "
            f"got {kinds or 'nothing'}"
        )
    return stream


def _expand(text: str, exclude: Sequence[str], stream: Stream) -> list[Path]:
    """Return the path itself, or where there is none the paths of a pattern, by name."""
    if not text:
        raise InputError("expected pictures or folders, got an empty name")
    path = Path(text)
    if path.exists() or not set("*?[") & set(text):
        return [path]
    found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if not found:
        raise InputError(f"{text}: expected files of this pattern, found none")
    kept = []
    for one in found:
        if is_excluded(one.as_posix(), exclude):
            stream.left_out["excluded by pattern"] += 1
        elif is_mask(one):
            stream.left_out["masks left out"] += 1
        elif not is_hidden(one.name):
            kept.append(one)
    return kept


def _of_table(path: Path, image: str) -> list[Path]:
    """Return the files that a table names; what is wrong is of --image here."""
    try:
        return table_places(path, image)
    except InputError as error:
        raise InputError(str(error).replace("columns.image", "--image")) from None


def _add_npz(stream: Stream, path: Path) -> None:
    """Add the arrays of an npz file that are images: `images` and those named `…_images`."""
    headers = {
        name: header
        for name, header in array_headers(path).items()
        if name == "images" or name.endswith("_images")
    }
    if not headers:
        raise InputError(f"{path}: expected an array named images, or test_images and the like")
    for name, (shape, dtype) in headers.items():
        fits = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
        if dtype != np.uint8 or not fits or min(shape) < 0:
            raise InputError(
                f"{path}: {name}: expected uint8 of shape (N, H, W) or (N, H, W, 3), "
                f"got {dtype} of shape {shape}"
            )
        stream.n_images += shape[0]
    stream.arrays[path] = list(headers)
    stream.files.append(path)
