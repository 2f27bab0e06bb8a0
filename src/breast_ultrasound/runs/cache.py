"""The cache of run results: one file per run under its key, written atomically, checked on reading.

It is a cache: deleting any of it costs time and changes nothing.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from breast_ultrasound.files import InputError, atomic, cache_folder
from breast_ultrasound.runs.run import RunResult, code_digest, digest_of, versions

WEIGHT = "weights/"
LEFTOVER_AGE = 3600.0  # seconds after which a half-written file is nobody's any more


@dataclass(frozen=True)
class Entry:
    """A file of the cache.

    Attributes:
        n_bytes: its size.
        usable: whether it says to be of the training code and package versions of today; a file
            that is half-written or of other code is not.
    """

    path: Path
    n_bytes: int
    usable: bool


@cache
def current_origin() -> str:
    """Return the SHA-256 of the training code and package versions, which are part of every key."""
    text = code_digest() + json.dumps(versions(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class RunCache:
    """Run results in a folder, shared by every checkout that names it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, key: str) -> Path:
        """Return where the result of `key` lies, or would."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def prepare(self) -> None:
        """Make the folder; raises InputError where that cannot be, before anything is trained."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._no_place(error) from None

    def save(self, key: str, result: RunResult) -> None:
        """Keep a result under its key; it appears whole or not at all.

        Raises:
            InputError: the folder cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {
            "logits": result.logits,
            "train_loss": result.train_loss,
            "val_auc": result.val_auc,
            **{WEIGHT + name: array for name, array in result.weights.items()},
        }
        try:
            with atomic(self.path_of(key)) as temporary:
                stated = {"key": key, "digest": digest_of(arrays), "origin": current_origin()}
                # Not save_file, which calls a full disk another name than OSError.
                temporary.write_bytes(save(arrays, stated))
        except OSError as error:
            raise self._no_place(error) from None

    def _no_place(self, error: OSError) -> InputError:
        return InputError(
            f"{self.folder}: cannot store a training there ({error.strerror or error}); "
            "make room or name another folder with --cache or BREAST_ULTRASOUND_CACHE"
        )

    def load(self, key: str) -> RunResult | None:
        """Return the result of `key`, or None; a damaged file is dropped, with a word on stderr.

        Raises:
            InputError: the file is there and cannot be read, which says nothing of what it holds.
        """
        path = self.path_of(key)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror or error}); mend that, or name another "
                "folder with --cache or BREAST_ULTRASOUND_CACHE"
            ) from None
        try:
            arrays, stated = load(content), _metadata(content)
            if (stated.get("key"), stated.get("digest")) != (key, digest_of(arrays)):
                raise SafetensorError("checksum does not fit")
            return RunResult(
                arrays.pop("logits"),
                arrays.pop("train_loss"),
                arrays.pop("val_auc"),
                {name.removeprefix(WEIGHT): array for name, array in arrays.items()},
            )
        except (SafetensorError, KeyError, ValueError) as error:
            print(f"{path}: damaged ({error}); dropped, trains again", file=sys.stderr)
            path.unlink(missing_ok=True)
            return None

    def entries(self) -> Iterator[Entry]:
        """Yield every file of the cache, but those that another process may be writing."""
        for path in sorted(self.folder.rglob("*.safetensors")):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process is at work too
                continue
            if not path.name.startswith("."):
                yield Entry(path, status.st_size, _origin_of(path) == current_origin())
            elif time.time() - status.st_mtime > LEFTOVER_AGE:
                yield Entry(path, status.st_size, usable=False)

    def prune(self) -> list[Entry]:
        """Remove what nothing can use any more, and return it."""
        removed = [entry for entry in self.entries() if not entry.usable]
        for entry in removed:
            entry.path.unlink(missing_ok=True)
        return removed


def find_cache(cache: Path | None) -> RunCache:
    """Return the run results in the program's cache folder; see `cache_folder`."""
    return RunCache(cache_folder(cache) / "runs")


def _metadata(content: bytes) -> dict[str, str]:
    """Return what `save` was told; `load` leaves it out. The header is JSON after its length."""
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    return metadata


def _origin_of(path: Path) -> str | None:
    """Return the code and versions that a file says it is of; None when it cannot tell."""
    try:
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("origin")
    except (SafetensorError, OSError):
        return None
