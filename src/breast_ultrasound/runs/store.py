"""The store of run results: one file a run under its key, written atomically, checked on reading.

It is a cache: deleting any of it costs time and changes nothing.
"""

import sys
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from breast_ultrasound.files import InputError, atomic
from breast_ultrasound.runs.run import RunResult, digest_of

WEIGHT = "weights/"


class Store:
    """Run results in a folder, shared by every checkout that names it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, key: str) -> Path:
        """Return where the result of `key` lies, or would."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def save(self, key: str, result: RunResult) -> None:
        """Store a result under its key; it appears whole or not at all.

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
                save_file(arrays, temporary, {"key": key, "digest": digest_of(arrays)})
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot store a training there ({error.strerror or error}); "
                "make room or name another folder with --cache or BREAST_ULTRASOUND_CACHE"
            ) from None

    def load(self, key: str) -> RunResult | None:
        """Return the result of `key`, or None; a damaged file is dropped, with a word on stderr."""
        path = self.path_of(key)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in list(file.keys())}
                stated = file.metadata() or {}
            if stated != {"key": key, "digest": digest_of(arrays)}:
                raise SafetensorError("checksum does not fit")
            return RunResult(
                arrays.pop("logits"),
                arrays.pop("train_loss"),
                arrays.pop("val_auc"),
                {name.removeprefix(WEIGHT): array for name, array in arrays.items()},
            )
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            print(f"{path}: damaged ({error}); dropped, trains again", file=sys.stderr)
            path.unlink(missing_ok=True)
            return None
