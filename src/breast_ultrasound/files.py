"""Reading files that may be wrong, and writing files that are never half there."""

import csv
import json
import lzma
import math
import os
import reprlib
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


UNIX = 3  # the system that a zip file names, whatever the system
NPY_HEADER = 1024  # bytes, at most
SMALL = 2**30  # bytes; below, no array is a bomb
MAX_RATIO = 100  # bytes to a packed byte; images have less than 10, masks some 200
# RuntimeError: encrypted, or of a later version of the format.
BAD_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)


class InputError(ValueError):
    """Something the user gave is wrong; the message says what was expected and what to do."""


def expand(path: str | Path) -> Path:
    """Return the absolute path, `~` resolved.

    A relative path is of the project's folder where DVC names it in DVC_ROOT: experiments run in a
    temporary copy, beside which nothing of the user's lies. Elsewhere it is of the current folder.

    Raises:
        InputError: there is no such home.
    """
    try:
        return Path(os.environ.get("DVC_ROOT", ""), Path(path).expanduser()).resolve()
    except RuntimeError:
        raise InputError(f"{path}: no such home folder; write the path in full") from None


def cache_folder(cache: Path | None) -> Path:
    """Return the program's cache folder, see `expand`; None takes the user's.

    Raises:
        InputError: there is no such home.
    """
    from platformdirs import user_cache_path

    try:
        return expand(cache or user_cache_path("breast-ultrasound"))
    except (InputError, RuntimeError):
        if cache is not None:
            raise
        raise InputError(
            "the user's cache folder: there is no home folder to hold it; name another with "
            "--cache or BREAST_ULTRASOUND_CACHE"
        ) from None


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends well.

    Raises:
        InputError: `path` is a folder, or a device or pipe, which a file would replace.
    """
    if not path.name or path.is_dir():
        raise InputError(f"{path}: expected the name of a file to write, got a folder")
    if path.exists() and (_is_open_file(path) or not path.is_file()):
        raise InputError(f"{path}: expected the name of a file to write, got a device or pipe")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: numpy and matplotlib choose the format by it. Hosts share folders, and with
    # containers process numbers too.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_open_file(path: Path) -> bool:
    """Whether a path leads to what the process has open, as /dev/stdout does, even to a file."""
    return path.is_symlink() and str(path.readlink()).startswith("/proc/")


def rounded(value: Any) -> Any:
    """Return nested dicts and lists with floats cut to 6 significant digits, so that diffs read."""
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value


def write_json(path: Path, content: Mapping[str, Any], exact: bool = False) -> None:
    """Write `content` as indented JSON, with rounded floats unless `exact`."""
    text = json.dumps(content if exact else rounded(content), indent=2, allow_nan=False) + "\n"
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
        raise InputError(
            f"{path}: no such file; run `dvc repro` to make it, and this in the project's folder"
        ) from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; run `dvc repro` again") from None
    except ValueError as error:
        raise InputError(f"{path}: expected JSON ({error}); run `dvc repro` again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def read_number(path: Path, name: str) -> float:
    """Read one number of a JSON object; raises InputError where there is none over 0."""
    value = read_json(path).get(name)
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InputError(
            f"{path}: expected a number {name!r} over 0, got {reprlib.repr(value)}; "
            "run `dvc repro` again"
        )
    return float(value)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write `rows` under a header of `columns`, floats rounded."""
    with (
        atomic(path) as temporary,
        temporary.open(
            "w",
            newline="",
            encoding="utf-8",
            errors="surrogateescape",  # names of files may be any bytes
        ) as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rounded(list(row)) for row in rows)


def write_arrays(path: Path, arrays: Mapping[str, "NDArray[Any]"]) -> None:
    """Write `arrays` as an npz, uncompressed; equal arrays give equal bytes.

    The bytes of `numpy.savez` depend on Python's patch version and on the system, and compressed
    ones on zlib too: each writes its own into the headers.
    """
    import numpy as np

    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # dated 1980
            member.create_system, member.external_attr = UNIX, 0o600 << 16
            member.file_size = array.nbytes + NPY_HEADER  # decides on ZIP64, from 2 GiB on
            with archive.open(member, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def read_arrays(
    path: Path, names: Sequence[str], prefix: str | None = None
) -> dict[str, "NDArray[np.generic]"]:
    """Read the arrays `names` of an npz file; pickled objects are refused, not loaded.

    Args:
        prefix: read the arrays, too, whose names begin with it.

    Raises:
        InputError: the file is missing, is not an npz, lacks one of the arrays, or unpacks to far
            more than it holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            missing = [name for name in names if name not in members]
            if missing:
                have = ", ".join(sorted(members)) or "nothing"
                raise InputError(f"{path}: expected an array {missing[0]!r}, got {have}")
            further = [name for name in members if prefix and name.startswith(prefix)]
            return {
                name: _read_array(archive, members[name], f"{path}: {name}")
                for name in [*names, *further]
            }
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; run `dvc repro` to make it, and this in the project's folder"
        ) from None
    except IsADirectoryError:
        raise InputError(f"{path}: expected an npz file, got a folder") from None
    except InputError:
        raise
    except (*BAD_ZIP, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reasons = {"pickle": "pickled objects are refused", "encrypted": "it is encrypted"}
        reason = next((text for word, text in reasons.items() if word in str(error)), error)
        raise InputError(f"{path}: expected an npz file of plain arrays ({reason})") from None


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays in an npz file.

    Raises:
        InputError: the file is missing or is not an npz.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; run `dvc repro` to make it, and this in the project's folder"
        ) from None
    except IsADirectoryError:
        raise InputError(f"{path}: expected an npz file, got a folder") from None
    except (*BAD_ZIP, ValueError) as error:
        raise InputError(f"{path}: expected an npz file of plain arrays ({error})") from None


def array_headers(path: Path) -> dict[str, tuple[tuple[int, ...], "np.dtype[Any]"]]:
    """Return the shape and dtype of each array in an npz file, without reading it.

    Raises:
        InputError: the file is missing or is not an npz of plain arrays.
    """
    headers = {}
    for name in array_names(path):
        with _opened_array(path, name) as (_, shape, dtype):
            headers[name] = shape, dtype
    return headers


def array_rows(path: Path, name: str) -> Iterator["NDArray[Any]"]:
    """Return an array's rows one by one, in constant memory.

    Raises:
        InputError: the file is missing, or is not an npz of plain arrays in C order.
    """
    import numpy as np

    with _opened_array(path, name) as (file, shape, dtype):
        size = math.prod(shape[1:]) * dtype.itemsize
        for _ in range(shape[0]):
            content = file.read(size)
            if len(content) < size:
                raise ValueError("cut short")
            yield np.frombuffer(content, dtype).reshape(shape[1:])


@contextmanager
def _opened_array(
    path: Path, name: str
) -> Iterator[tuple[IO[bytes], tuple[int, ...], "np.dtype[Any]"]]:
    """Open an array of an npz file after its header; within, too, what is wrong is InputError."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            shape, fortran_order, dtype = _read_header(file)
            if dtype.hasobject or fortran_order:
                raise ValueError("pickled objects and Fortran's order are refused")
            yield file, shape, dtype
    except (*BAD_ZIP, ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: {name}: expected a plain array in C order ({error})") from None


def _read_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str
) -> "NDArray[np.generic]":
    """Read one array, but for one that would unpack to far more than its file holds.

    Raises:
        InputError: too large for its compressed size, or for its own header.
        ValueError: not an array.
    """
    import numpy as np

    size = member.file_size
    if size > SMALL and size > MAX_RATIO * member.compress_size:
        raise InputError(
            f"{name}: expected at most {SMALL} bytes packed as tightly, got {size} in "
            f"{member.compress_size}, a zip bomb perhaps; if not, save it with numpy.savez, "
            "uncompressed"
        )
    try:
        with archive.open(member) as file:
            stated = _stated_size(file)
    except (OSError, ValueError, *BAD_ZIP):
        raise
    except Exception as error:  # numpy reads headers as Python, which fails in many ways
        raise ValueError(f"not the header of an array: {error}") from None
    if stated is not None and stated != size:
        raise InputError(f"{name}: expected {stated} bytes, as its header says, got {size}")
    with archive.open(member) as file:
        array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _stated_size(file: IO[bytes]) -> int | None:
    """Return how many bytes an npy file has by its header; None for pickled objects."""
    shape, _, dtype = _read_header(file)
    return None if dtype.hasobject else file.tell() + math.prod(shape) * dtype.itemsize


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, "np.dtype[Any]"]:
    """Return the shape of an npy file's array, whether it is in Fortran's order, and its dtype."""
    import numpy as np

    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in read_header:
        raise ValueError(f"version {version} of npy is not read")
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read_header[version](file)
    return header
