"""Reading files that may be wrong, and writing files that are never half there."""

import csv
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class InputError(ValueError):
    """Something the user gave is wrong; the message says what was expected and what to do."""


def expand(path: str | Path) -> Path:
    """Return the absolute path, `~` resolved; raises InputError where there is no such home."""
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError:
        raise InputError(f"{path}: no such home folder; write the path in full") from None


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends well."""
    if not path.name or path.is_dir():
        raise InputError(f"{path}: expected the name of a file to write, got a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: numpy and matplotlib choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def rounded(value: Any) -> Any:
    """Return nested dicts and lists with floats cut to 6 significant digits, so that diffs read."""
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON with rounded floats."""
    text = json.dumps(rounded(content), indent=2, allow_nan=False) + "\n"
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file is missing or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro` to make it") from None
    except ValueError as error:
        raise InputError(f"{path}: expected JSON ({error}); run `dvc repro` again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def read_number(path: Path, name: str) -> float:
    """Read one number of a JSON object; raises InputError where there is none."""
    value = read_json(path).get(name)
    if not isinstance(value, (int, float)):
        raise InputError(
            f"{path}: expected a number {name!r}, got {value!r}; run `dvc repro` again"
        )
    return float(value)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write `rows` under a header of `columns`, floats rounded."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([rounded(list(row)) for row in rows])


def write_arrays(path: Path, arrays: Mapping[str, "NDArray[Any]"], compress: bool = True) -> None:
    """Write `arrays` as an npz; equal arrays give equal bytes.

    Args:
        compress: the bytes then depend on the version of zlib too.
    """
    import numpy as np

    with atomic(path) as temporary:
        (np.savez_compressed if compress else np.savez)(temporary, allow_pickle=False, **arrays)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, "NDArray[np.generic]"]:
    """Read the arrays `names` of an npz file; pickled objects are refused, not loaded.

    Raises:
        InputError: the file is missing, is not an npz, or lacks one of the arrays.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(path) as file:
            present = {name.removesuffix(".npy") for name in file.namelist()}
        missing = [name for name in names if name not in present]
        if missing:
            have = ", ".join(sorted(present)) or "nothing"
            raise InputError(f"{path}: expected an array {missing[0]!r}, got {have}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):  # numpy gives other members as bytes
                raise InputError(f"{path}: {name}: expected an array, got another kind of file")
        return arrays
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro` to make it") from None
    except IsADirectoryError:
        raise InputError(f"{path}: expected an npz file, got a folder") from None
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        reason = "pickled objects are refused" if "pickle" in str(error) else error
        raise InputError(f"{path}: expected an npz file of plain arrays ({reason})") from None
