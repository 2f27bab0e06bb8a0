"""Files that an earlier stage wrote, and somebody spoilt."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from breast_ultrasound.data.image_set import DTYPES
from breast_ultrasound.files import read_arrays, write_arrays
from tests.stages.bad_inputs.cases import Arrays, Prepare, add


def _dev(change: Callable[[Arrays], None]) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        arrays: Arrays = read_arrays(folder / "data" / "processed" / "dev.npz", list(DTYPES))
        change(arrays)
        write_arrays(folder / "dev.npz", arrays)
        return ["--dev", "dev.npz"]

    return prepare


def _cut(name: str) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update({name: arrays[name][1:]})


def _one_class(arrays: Arrays) -> None:
    arrays["malignant"] = arrays["malignant"] & False


def _one_group(arrays: Arrays) -> None:
    arrays["group"] = arrays["group"] * 0


add("tune_lr", "dev.npz: a label too few", _dev(_cut("malignant")))
add("tune_lr", "dev.npz: a class missing", _dev(_one_class))
add("grid_search", "dev.npz: fewer groups than folds", _dev(_one_group))
add("grid_search", "dev.npz: other types", _dev(lambda a: a.update(group=a["group"].astype(">i8"))))
add("cross_validate", "dev.npz: an array gone", _dev(lambda arrays: arrays.pop("leaked")))
add(
    "train_final",
    "dev.npz: no images",
    _dev(lambda a: a.update({k: v[:0] for k, v in a.items()})),
)
add("train_final", "dev.npz is not there", lambda _: ["--dev", "gone.npz"])


def _json(option: str, text: str) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        (folder / "a.json").write_text(text)
        return [option, "a.json"]

    return prepare


add("grid_search", "tune_lr.json is no JSON", _json("--lr", "{"))
add("grid_search", "tune_lr.json with `lr: NaN`", _json("--lr", '{"lr": NaN}'))
add("grid_search", "tune_lr.json is a list", _json("--lr", "[1]"))
add("grid_search", "tune_lr.json nested 100,000 deep", _json("--lr", "[" * 100_000))
add("cross_validate", "chosen.json of another kind", _json("--config", '{"lr": 1}'))


def _logits(change: Callable[[Any], Any]) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        logits = read_arrays(folder / "data" / "out_of_fold.npz", ["logits"])["logits"]
        write_arrays(folder / "logits.npz", {"logits": change(logits)})
        return ["--out-of-fold", "logits.npz"]

    return prepare


add("train_final", "out_of_fold.npz of other images", _logits(lambda x: x[:, 1:]))
add("train_final", "out_of_fold.npz with NaN", _logits(lambda x: x * np.float32("nan")))
add("train_final", "out_of_fold.npz of whole numbers", _logits(lambda x: x.astype(int)))


def _model(change: Callable[[Path], object]) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        shutil.copytree(folder / "models" / "final", folder / "model")
        change(folder / "model")
        return ["--final", "model"]

    return prepare


def _card(**changes: Any) -> Callable[[Path], object]:
    def change(model: Path) -> None:
        card = json.loads((model / "model.json").read_text())
        (model / "model.json").write_text(json.dumps({**card, **changes}))

    return change


add("evaluate", "no model", lambda _: ["--final", "gone"])
add("evaluate", "a model without weights", _model(lambda m: (m / "member_0.safetensors").unlink()))
add("evaluate", "a card of another kind", _model(_card(seeds="many")))
add("evaluate", "a card with an unknown key", _model(_card(surprise=1)))
add("evaluate", "a card of a later format", _model(_card(format_version=4)))
add("evaluate", "weights cut short", _model(
    lambda m: (m / "member_0.safetensors").write_bytes(b"\x08" + bytes(20))
))  # fmt: skip
add("evaluate", "weights of another network", _model(
    lambda m: shutil.copy(m.parent / "models/baseline/member_0.safetensors", m)
))  # fmt: skip
