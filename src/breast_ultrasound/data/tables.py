"""Tables of images as they are published: CSV or TSV, read column by column."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from breast_ultrasound.files import InputError

DELIMITERS = ",;\t|"
BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_columns(path: Path, wanted: Iterable[str]) -> dict[str, list[str]]:
    """Return the columns `wanted` of a table with a header, each with one text per row.

    The delimiter is the one of comma, semicolon, tab and bar that cuts the header into most names.
    Spaces around names and values go, empty lines too.

    Raises:
        InputError: no such file, not text, no rows, a missing column or a row of another length.
    """
    text = _read_text(path)
    header, _, _ = text.partition("\n")
    delimiter = max(DELIMITERS, key=lambda mark: len(_cut(header, mark)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(reader, [])]
        places = [_place(name, names, path) for name in dict.fromkeys(wanted)]
        columns: list[list[str]] = [[] for _ in places]
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise InputError(
                    f"{path}: line {reader.line_num}: expected {len(names)} values, got {len(row)}"
                )
            for column, place in zip(columns, places, strict=True):
                column.append(row[place].strip())
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: expected a table ({error})") from None
    if not (columns and columns[0]):
        raise InputError(f"{path}: expected rows below the header, got none")
    return dict(zip(dict.fromkeys(wanted), columns, strict=True))


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a table (CSV or TSV)") from None
    except IsADirectoryError:
        raise InputError(f"{path}: expected a table (CSV or TSV), got a folder") from None
    encoding = BOMS.get(content[:2], "utf-8-sig")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: expected text in UTF-8 ({error.reason} at byte {error.start}); "
            "save it as CSV UTF-8"
        ) from None


def _cut(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _place(name: str, names: Sequence[str], path: Path) -> int:
    if names.count(name) != 1:
        number = "none" if name not in names else f"{names.count(name)}"
        raise InputError(
            f"{path}: expected one column {name!r}, got {number}; it has {', '.join(names)}"
        )
    return names.index(name)


def plain(value: str) -> str:
    """Return a value as text; a whole number reads the same as 1 and as 1.0."""
    whole, dot, rest = value.partition(".")
    return whole if dot and whole.lstrip("-").isdigit() and set(rest) <= {"0"} else value
