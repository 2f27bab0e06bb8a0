"""Bad input to every command: one line that says what is wrong and what to do, exit code 2.

docs/errors.md is the table of these tests; after a change of a message
`WRITE_ERRORS=1 pytest tests/stages/test_bad_input.py` writes it anew.
"""

import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from breast_ultrasound.cli.app import app
from breast_ultrasound.data.image_set import DTYPES
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.files import read_arrays, write_arrays
from tests.hospitals import write_busbra
from tests.stages.reads import STAGES, Reads, call
from tools.workspace import ROOT, TINY, write_params

ERRORS = ROOT / "docs" / "errors.md"
HEADER = """# What commands say to bad input

Each ends with exit code 2, this line on stderr and nothing written. The table is made by
`tests/stages/test_bad_input.py`, which gives each input to its command.

| command | input | error line |
| --- | --- | --- |
"""
Arrays = dict[str, Any]
Prepare = Callable[[Path], list[str]]  # makes the input in a folder, returns arguments


@dataclass(frozen=True)
class Case:
    """A bad input: which command it goes to, what is wrong, and how to make it."""

    command: str
    wrong: str
    prepare: Prepare


CASES: list[Case] = []


def case(command: str, wrong: str) -> Callable[[Prepare], Prepare]:
    """Register a function that makes a bad input."""

    def register(prepare: Prepare) -> Prepare:
        CASES.append(Case(command, wrong, prepare))
        return prepare

    return register


def add(command: str, wrong: str, prepare: Prepare) -> None:
    """Register a bad input that a line makes."""
    CASES.append(Case(command, wrong, prepare))


# Parameters. The stages read them alike: every stage gets some of them.


def _params_text(text: str) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        (folder / "params.yaml").write_text(text)
        return []

    return prepare


def _changed(**changes: Any) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        write_params(folder / "params.yaml", TINY, changes)
        return []

    return prepare


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
PARAMETERS: list[tuple[str, Prepare]] = [
    ("params.yaml is empty", _params_text("")),
    ("params.yaml is a list", _params_text("- 1\n")),
    ("params.yaml has a tab", _params_text("seed:\t\t- 1\n\tlr: 2\n")),
    ("params.yaml has a key twice", _params_text("seed: 1\nseed: 2\n")),
    ("params.yaml has a bomb of YAML aliases", _params_text(BOMB)),
    ("params.yaml is nested 10,000 deep", _params_text("[" * 10_000)),
    ("params.yaml names a Python object", _params_text("seed: !!python/name:os.system\n")),
    ("params.yaml has a date that is none", _params_text("seed: 2020-13-45\n")),
    ("params.yaml has a mapping as key", _params_text("? {a: 1}\n: 2\n")),
    ("`lr: .nan`", _changed(lr=float("nan"))),
    ("`lr: -1`", _changed(lr=-1)),
    ("`lr: fast`", _changed(lr="fast")),
    ("`seed: -1`", _changed(seed=-1)),
    ("`seed` with a fraction", _changed(seed=0.5)),
    ("`folds.n_splits: 1`", _changed(folds={"n_splits": 1})),
    ("`tune_lr.low` over `high`", _changed(tune_lr={"low": 0.1, "high": 0.01})),
    ("`tune_lr.n_folds` over `folds.n_splits`", _changed(tune_lr={"n_folds": 7})),
    ("`training.loss: mse`", _changed(training={"loss": "mse"})),
    ("`grid_search.width` is no list", _changed(grid_search={"width": 16})),
    ("`grid_search.width` is empty", _changed(grid_search={"width": []})),
    ("`model.width` a word of 1,000 letters", _changed(model={"width": "x" * 1000})),
    ("`final.n_seeds: 0`", _changed(final={"n_seeds": 0})),
    ("`evaluate.confidence: 95`", _changed(evaluate={"confidence": 95})),
    ("an unknown parameter", _changed(surprise=1)),
    (
        "`preprocess.near_duplicate_correlation: 1`",
        _changed(preprocess={"near_duplicate_correlation": 1}),
    ),
]
for i, (wrong, prepare) in enumerate(PARAMETERS):
    add(list(STAGES)[i % len(STAGES)], wrong, prepare)


@case("tune_lr", "params.yaml is not UTF-8")
def _(folder: Path) -> list[str]:
    (folder / "params.yaml").write_bytes(b"seed: \xff\xfe")
    return []


@case("grid_search", "params.yaml is not there")
def _(folder: Path) -> list[str]:
    (folder / "params.yaml").unlink()
    return []


@case("evaluate", "params.yaml is a folder")
def _(folder: Path) -> list[str]:
    (folder / "params.yaml").unlink()
    (folder / "params.yaml").mkdir()
    return []


# Options.

add("tune_lr", "an unknown option", lambda _: ["--speed", "9"])
add("cross_validate", "`--workers -1`", lambda _: ["--workers", "-1"])
add("cross_validate", "`--workers many`", lambda _: ["--workers", "many"])
add("train_final", "`--device tpu`", lambda _: ["--device", "tpu"])
add("tune_lr", "`--device cuda` with portable arithmetic", lambda _: ["--device", "cuda"])


@case("grid_search", "`--device cuda` without a GPU")
def _(folder: Path) -> list[str]:
    write_params(folder / "params.yaml", TINY, {"training": {"arithmetic": "fp32"}})
    return ["--device", "cuda"]


add("audit", "no argument", lambda _: [])
add("audit", "`--correlation 2`", lambda _: ["a.npz", "--correlation", "2"])
add("audit", "`--fail-over -1`", lambda _: ["a.npz", "--fail-over", "-1"])
add("resplit", "`--seed -1`", lambda _: ["a.npz", "b.npz", "--seed", "-1"])
add("grid_search", "a cache in a home that is not there", lambda _: ["--cache", "~nobody-at-all/c"])


# The official file.


def _official(change: Callable[[Arrays], None]) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        arrays: Arrays = make_phantoms(90, seed=0)
        change(arrays)
        write_arrays(folder / "raw.npz", arrays)
        return ["--raw", "raw.npz"]

    return prepare


def _value(name: str, value: Callable[[Any], Any]) -> Prepare:
    return _official(lambda arrays: arrays.update({name: value(arrays[name])}))


add("preprocess", "an array is not there", _official(lambda arrays: arrays.pop("val_labels")))
add("preprocess", "no images", _value("val_images", lambda x: x[:0]))
add("preprocess", "NaN for greys", _value("val_images", lambda x: x * float("nan")))
add(
    "preprocess",
    "images of two sizes",
    _value("test_images", lambda x: np.kron(x, np.ones((2, 2), "u1"))),
)
add("preprocess", "colour images", _value("test_images", lambda x: np.stack([x] * 3, axis=3)))
add("preprocess", "images of one grey", _value("train_images", np.zeros_like))
add("preprocess", "greys in another byte order", _value("val_images", lambda x: x.astype(">u2")))
add("preprocess", "a class missing", _value("train_labels", np.ones_like))
add("preprocess", "a third class", _value("train_labels", lambda x: x * 2 + (x == 0)))
add("preprocess", "labels with fractions", _value("val_labels", lambda x: x * 0.5))
add("preprocess", "labels of shape (N,)", _value("val_labels", lambda x: x[:, 0]))
add("preprocess", "a label too few", _value("val_labels", lambda x: x[1:]))


@case("preprocess", "pickled objects in the npz")
def _(folder: Path) -> list[str]:
    arrays = {**make_phantoms(90, seed=0), "val_labels": np.array([{}], dtype=object)}
    np.savez(folder / "raw.npz", **arrays)
    return ["--raw", "raw.npz"]


def _bytes(content: bytes) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        (folder / "raw.npz").write_bytes(content)
        return ["--raw", "raw.npz"]

    return prepare


add("preprocess", "an empty file", _bytes(b""))
add("preprocess", "a text for an npz", _bytes(b"hello\n"))
add("preprocess", "a file that is not there", lambda _: ["--raw", "gone.npz"])
add("preprocess", "a folder for a file", lambda _: ["--raw", "."])


def _half(folder: Path) -> list[str]:
    write_arrays(folder / "raw.npz", make_phantoms(90, seed=0))
    content = (folder / "raw.npz").read_bytes()
    (folder / "raw.npz").write_bytes(content[: len(content) // 2])
    return ["--raw", "raw.npz"]


add("preprocess", "an npz cut in half", _half)


@case("preprocess", "a flipped bit in the npz")
def _(folder: Path) -> list[str]:
    write_arrays(folder / "raw.npz", make_phantoms(90, seed=0))
    content = bytearray((folder / "raw.npz").read_bytes())
    content[5000] ^= 4
    (folder / "raw.npz").write_bytes(content)
    return ["--raw", "raw.npz"]


def _npy_header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    stated = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, stated)
    return header.getvalue()


@case("audit", "a header that promises 10¹² images")
def _(folder: Path) -> list[str]:
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        archive.writestr("train_images.npy", _npy_header((10**12, 28, 28)))
    return ["a.npz"]


@case("audit", "a zip bomb of 2 GiB")
def _(folder: Path) -> list[str]:
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_images.npy", _npy_header((2_738_000, 28, 28)))
    content = bytearray((folder / "a.npz").read_bytes())
    size = content.rindex(b"PK\x01\x02") + 24  # in the list at the end
    content[size : size + 4] = (2**31).to_bytes(4, "little")
    (folder / "a.npz").write_bytes(content)
    return ["a.npz"]


@case("audit", "an npz with other names of arrays")
def _(folder: Path) -> list[str]:
    write_arrays(folder / "a.npz", {"x_train": np.zeros((3, 28, 28), "u1")})
    return ["a.npz"]


@case("audit", "an encrypted npz")
def _(folder: Path) -> list[str]:
    write_arrays(folder / "a.npz", {"train_images": np.zeros((3, 28, 28), "u1")})
    content = bytearray((folder / "a.npz").read_bytes())
    content[6] |= 1  # the flag, where the member begins and in the list at the end
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (folder / "a.npz").write_bytes(content)
    return ["a.npz"]


@case("download", "no folder has the file, and no network")
def _(folder: Path) -> list[str]:
    changes = {"data": {"name": "breastmnist", "search_path": ["here", "there"]}}
    write_params(folder / "params.yaml", TINY, changes)
    return []


@case("download", "another file under the official name")
def _(folder: Path) -> list[str]:
    changes = {"data": {"name": "breastmnist", "search_path": ["mine"]}}
    write_params(folder / "params.yaml", TINY, changes)
    (folder / "mine").mkdir()
    (folder / "mine" / "breastmnist.npz").write_text("?")
    return []


# Own images.


def _hospital(change: Callable[[Path], None], **mapping: Any) -> Prepare:
    """Make a folder `own` in BUS-BRA's layout, spoilt, for `data.name: images`."""

    def prepare(folder: Path) -> list[str]:
        change(write_busbra(folder / "own"))
        columns = {"image": "Images/{ID}.png", "label": "Pathology", "patient": "Case"}
        data = {"name": "images", "images": "own", "table": "bus_data.csv", **mapping}
        columns |= data.pop("columns", {})
        write_params(folder / "params.yaml", TINY, {"data": {**data, "columns": columns}})
        return []

    return prepare


def _rows(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def edit(own: Path) -> None:
        table = own / "bus_data.csv"
        table.write_text("\n".join(change(table.read_text().splitlines())) + "\n")

    return edit


def _as_it_is(own: Path) -> None:
    """Change nothing."""


def _without_pictures(own: Path) -> None:
    for path in sorted((own / "Images").iterdir())[:5]:
        path.unlink()


def _spoilt_picture(own: Path) -> None:
    (own / "Images" / "bus_0002-r.png").write_bytes(b"?")


def _linked_picture(own: Path) -> None:
    path = own / "Images" / "bus_0002-r.png"
    shutil.move(path, own.parent / "elsewhere.png")
    path.symlink_to(own.parent / "elsewhere.png")


def _loose_picture(own: Path) -> None:
    shutil.copy(own / "Images" / "bus_0002-r.png", own / "loose.png")


add("download", "a folder of images that is not there", _hospital(_as_it_is, images="gone"))
add("download", "a table that is not there", _hospital(_as_it_is, table="gone.csv"))
add("download", "an empty table", _hospital(_rows(lambda rows: rows[:1])))
add("download", "a table without a column", _hospital(_as_it_is, columns={"label": "Diagnosis"}))
add("download", "a template that names none", _hospital(_as_it_is, columns={"image": "{}.png"}))
add("download", "a row of another length", _hospital(_rows(lambda rows: [*rows, "bus_0000-l"])))
add("download", "a row twice", _hospital(_rows(lambda rows: [*rows, rows[1]])))
add("download", "images that are not there", _hospital(_without_pictures))
add("download", "an image that cannot be read", _hospital(_spoilt_picture))
add("download", "a link out of the folder", _hospital(_linked_picture))
add("download", "a path out of the folder", _hospital(_as_it_is, columns={"image": "../{ID}.png"}))
add("download", "labels of neither class", _hospital(_as_it_is, benign=["harmless"]))
add("download", "a label of both classes", _hospital(_as_it_is, benign=["malignant"]))
add(
    "download",
    "no malignant image",
    _hospital(_as_it_is, malignant=["x"], benign=["benign", "malignant"]),
)
add("download", "splits of other names", _hospital(_as_it_is, columns={"split": "Side"}))
add("download", "a folder without classes", _hospital(_loose_picture, table=None))
add("download", "a size that BreastMNIST lacks", _changed(data={"name": "breastmnist", "size": 32}))


def _without_thumbnails(folder: Path) -> None:
    (folder / "models/final/known.safetensors").unlink()


def _evaluated(*options: str) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        table = write_busbra(folder / "own") / "bus_data.csv"
        mapping = ["--image", "Images/{ID}.png", "--label", "Pathology", "--patient", "Case"]
        return [str(table), *mapping, *options]

    return prepare


add("breast-ultrasound evaluate", "a table that is not there", lambda _: ["gone.csv"])
add("breast-ultrasound evaluate", "a table without a column", _evaluated("--by", "Stage"))
add("breast-ultrasound evaluate", "labels of neither class", _evaluated("--benign", "harmless"))
add("breast-ultrasound evaluate", "a model that is not there", _evaluated("--model", "gone"))


@case("breast-ultrasound evaluate", "dev images of another model, which keeps no thumbnails")
def _(folder: Path) -> list[str]:
    _without_thumbnails(folder)
    return _evaluated("--dev", "data/processed/test.npz")(folder)


add(
    "breast-ultrasound evaluate",
    "an output over the table",
    _evaluated("--csv", "own/bus_data.csv"),
)
add(
    "breast-ultrasound evaluate",
    "a file for a folder of figures",
    _evaluated("--plot", "params.yaml"),
)


# Files that an earlier stage wrote, and somebody spoilt.


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


# Outputs.


def _of_pictures(*arguments: str) -> Prepare:
    """Give arguments beside a set of pictures, none of them spoilt."""

    def prepare(folder: Path) -> list[str]:
        _pictures(folder)
        return ["set", *arguments]

    return prepare


add("audit", "a folder for an output", _of_pictures("--json", "set"))


@case("resplit", "the file itself as output")
def _(folder: Path) -> list[str]:
    write_arrays(folder / "a.npz", make_phantoms(90, seed=0))
    return ["a.npz", "a.npz"]


@case("download", "a file where a folder should be")
def _(folder: Path) -> list[str]:
    (folder / "taken").write_text("")
    return ["--out", "taken/breastmnist.npz"]


@case("download", "a folder that cannot be written")
def _(folder: Path) -> list[str]:
    return ["--out", "/proc/here/breastmnist.npz"]  # not by root either


@case("cross_validate", "a cache folder that cannot be written")
def _(folder: Path) -> list[str]:
    return ["--cache", "/proc/here"]


@case("cache", "a cache in a home that is not there")
def _(folder: Path) -> list[str]:
    return ["--cache", "~nobody-at-all/c"]


add("cache prune", "an argument too many", lambda _: ["everything"])


# Pictures.


def _pictures(folder: Path) -> Path:
    """Make a set of two splits of noise; return one picture, for a test to spoil."""
    rng = np.random.default_rng(0)
    for i in range(6):
        split = folder / "set" / ("train" if i < 4 else "test")
        split.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (28, 28)).astype("u1")).save(split / f"{i}.png")
    return folder / "set" / "train" / "0.png"


def _spoilt(change: Callable[[Path], object]) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        change(_pictures(folder))
        return ["set"]

    return prepare


def _animated(picture: Path) -> None:
    frames = [Image.new("L", (28, 28), grey) for grey in (0, 90, 200)]
    frames[0].save(picture.with_suffix(".gif"), save_all=True, append_images=frames[1:])


def _huge(picture: Path) -> None:
    """Write a PNG that says 100,000 × 100,000 and has no more than its header."""
    chunk = b"IHDR" + (100_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    content = (13).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + content + bytes(4) + b"IDAT" + bytes(4))


def _dicom(picture: Path) -> None:
    picture.write_bytes(bytes(128) + b"DICM" + bytes(200))


def _link_out(picture: Path) -> None:
    outside = picture.parent.parent.parent / "outside.png"
    picture.rename(outside)
    picture.symlink_to(outside)


def _odd_name(name: str) -> Callable[[Path], object]:
    return lambda picture: (picture.parent / name).write_bytes(b"?")


add("audit", "a PNG cut short", _spoilt(lambda p: p.write_bytes(p.read_bytes()[:200])))
add("audit", "a text for a picture", _spoilt(lambda p: p.write_text("hello")))
add("audit", "an empty picture", _spoilt(lambda p: p.write_bytes(b"")))
add("audit", "an animated GIF", _spoilt(_animated))
add("audit", "a picture of 100,000 × 100,000", _spoilt(_huge))
add("audit", "a picture of 8,000 × 8,000", _spoilt(lambda p: Image.new("1", (8000, 8000)).save(p)))
add("audit", "DICOM under the name of a PNG", _spoilt(_dicom))
add("audit", "a link out of the folder", _spoilt(_link_out))
add(
    "audit",
    "a bad picture with quotes and spaces in its name",
    _spoilt(_odd_name("a \"b\" 'c'.png")),
)
add("audit", "a bad picture with a line break in its name", _spoilt(_odd_name("a\nb.png")))
add("audit", "a bad picture with letters beyond ASCII", _spoilt(_odd_name("größer 乳.png")))
add("audit", "a bad picture whose name is no text", _spoilt(_odd_name(os.fsdecode(b"\xff.png"))))
add("audit", "nothing there", lambda _: ["gone"])


@case("audit", "an empty folder")
def _(folder: Path) -> list[str]:
    (folder / "set").mkdir()
    return ["set"]


add("audit", "one split only", _spoilt(lambda p: shutil.rmtree(p.parent)))
add("audit", "a split that is not there", _of_pictures("--splits", "train,val"))


@case("audit", "images with fractions")
def _(folder: Path) -> list[str]:
    write_arrays(folder / "a.npz", {"train_images": np.zeros((3, 28, 28))})
    return ["a.npz"]


@case("audit", "labels of other images")
def _(folder: Path) -> list[str]:
    arrays = make_phantoms(90, seed=0)
    write_arrays(folder / "a.npz", {**arrays, "val_labels": arrays["val_labels"][1:]})
    return ["a.npz"]


def _predicted(change: Callable[[Path], object], *options: str) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        change(_pictures(folder))
        return ["set/train", *options]

    return prepare


def _emptied(picture: Path) -> None:
    for file in picture.parent.iterdir():
        file.unlink()


def _wide(picture: Path) -> None:
    Image.fromarray(np.full((28, 28), 40_000, dtype="u2")).save(picture)


def _wide_colour(picture: Path) -> None:
    """Write a PNG of 16 bits per colour, which Pillow reads but does not write."""
    rows = b"".join(b"\0" + bytes([i, 0] * 3 * 28) for i in range(28))
    header = (28).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in parts
    )
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def _of_other_images(picture: Path) -> None:
    _without_thumbnails(picture.parents[2])
    card = picture.parents[2] / "models/final/model.json"
    content = json.loads(card.read_text())
    card.write_text(json.dumps({**content, "data": "0" * 64}))


add("predict", "a picture that is not there", lambda _: ["gone.png"])
add("predict", "a folder that is empty", _predicted(_emptied))
add("predict", "a PNG cut short", _predicted(lambda p: p.write_bytes(p.read_bytes()[:200])))
add("predict", "a picture of 16 bits", _predicted(_wide))
add("predict", "a picture of 16 bits per colour", _predicted(_wide_colour))
add("predict", "a DICOM file cut short", _predicted(
    lambda p: p.write_bytes(bytes(128) + b"DICM" + bytes(9))
))  # fmt: skip
add("predict", "a picture of one grey", _predicted(lambda p: Image.new("L", (9, 9), 7).save(p)))
add("predict", "a model that is not there", _predicted(str, "--model", "gone"))
add("predict", "a model trained on other images", _predicted(_of_other_images))
add("predict", "an unknown operating point", _predicted(str, "--operating-point", "best"))
add("predict", "a pattern of nothing", lambda _: ["*.png"])
add("explain", "a picture that is not there", lambda _: ["gone.png", "--out", "maps"])
add("explain", "a file for the folder of maps", _predicted(str, "--out", "params.yaml"))
add("export", "a model that is not there", lambda _: ["a.onnx", "--model", "gone"])
add("export", "an output in a folder that cannot be written", lambda _: ["/proc/here/a.onnx"])
add("export", "an output over the images", lambda _: ["data/processed/test.npz"])


@case("predict", "no model at all")
def _(folder: Path) -> list[str]:
    shutil.rmtree(folder / "models")
    return ["a.png"]


@case("predict", "a table without the column")
def _(folder: Path) -> list[str]:
    (folder / "some.csv").write_text("file\na.png\n")
    return ["some.csv"]


@case("predict", "a table whose paths leave its folder")
def _(folder: Path) -> list[str]:
    (folder / "some.csv").write_text("image\n../a.png\n")
    return ["some.csv"]


def _arrays(**arrays: np.ndarray) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        np.savez(folder / "some.npz", **arrays)
        return ["some.npz"]

    return prepare


add("predict", "an npz without images", _arrays(labels=np.zeros(3)))
add("predict", "an npz of images that are no bytes", _arrays(images=np.zeros((2, 28, 28))))
add("predict", "an npz of pickled objects", _arrays(images=np.array([{}], dtype=object)))
add("resplit", "a folder of pictures", _of_pictures("out.npz"))


@case("resplit", "a file that is not there")
def _(folder: Path) -> list[str]:
    return ["gone.npz", "out.npz"]


@case("resplit", "an output in a folder that cannot be written")
def _(folder: Path) -> list[str]:
    write_arrays(folder / "a.npz", make_phantoms(90, seed=0))
    return ["a.npz", "/proc/here/out.npz"]


# Tables of the searches.


def _tables(change: Callable[[str, str], tuple[str, str]], file: str = "trials.db") -> Prepare:
    """Make the tables, one of them spoilt."""

    def prepare(folder: Path) -> list[str]:
        rates = "trial,lr,auc,n_folds,stopped\n0,0.01,0.9,2,finished\n"
        settings = (
            "setting,stopped,auc,auc_sd,n_folds,n_epochs,flops,width\n"
            "width 8,finalist,0.9,0.1,2,1,100,8\n"
        )
        (folder / "plots").mkdir()
        for name, text in zip(("tune_lr", "grid_search"), change(rates, settings), strict=True):
            (folder / "plots" / f"{name}.csv").write_text(text)
        return [file]

    return prepare


add("trials", "no searches yet", lambda _: ["trials.db"])
add("trials", "no argument", lambda _: [])
add("trials", "a file that is there", _tables(lambda a, b: (a, b), "params.yaml"))
add("trials", "a folder for the file", _tables(lambda a, b: (a, b), "models"))
add("trials", "a table of another kind", _tables(lambda a, b: (b, b)))
add("trials", "an AUC that is none", _tables(lambda a, b: (a.replace("0.9", "nan"), b)))
add("trials", "a learning rate of 0", _tables(lambda a, b: (a.replace("0.01", "0"), b)))
add("trials", "a line cut short", _tables(lambda a, b: (a, b[:-10])))
add("trials", "a folder that cannot be written", _tables(lambda a, b: (a, b), "/proc/here/t.db"))


@pytest.fixture(scope="module")
def table_rows() -> Iterator[list[str]]:
    """The rows of docs/errors.md, of the tests that ran."""
    rows: list[str] = []
    yield rows
    if os.environ.get("WRITE_ERRORS"):
        ERRORS.write_text(HEADER + "\n".join(rows) + "\n")


@pytest.fixture
def folder(tmp_path: Path, finished: tuple[Path, Reads], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every stage could run, without a network, a GPU or cached trainings."""
    for name in ("data", "models", "metrics"):
        shutil.copytree(finished[0] / name, tmp_path / name)
    write_params(tmp_path / "params.yaml", TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BREAST_ULTRASOUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BREAST_ULTRASOUND_DEVICE", "cpu")  # auto says what it took
    monkeypatch.setattr("torchvision.datasets.utils.download_url", _no_network)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return tmp_path


def _no_network(*_: object, **__: object) -> None:
    raise OSError("no network")


def run(command: str, arguments: list[str]) -> Result:
    if command in STAGES:
        return call(command, *arguments)
    # The stage and the command `evaluate` have one name.
    words = command.removeprefix("breast-ultrasound ").split()
    return CliRunner().invoke(app, [*words, *arguments])


@pytest.mark.parametrize("bad", CASES, ids=[f"{c.command}: {c.wrong}" for c in CASES])
def test_bad_input_ends_in_one_line(bad: Case, folder: Path, table_rows: list[str]) -> None:
    arguments = bad.prepare(folder)
    before = _content(folder)
    result = run(bad.command, arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 700
    assert _content(folder) == before
    line = result.stderr.strip().replace(f"{folder}/", "").replace("|", "\\|")
    table_rows.append(f"| {bad.command} | {bad.wrong} | {line} |")
    if not os.environ.get("WRITE_ERRORS"):
        assert table_rows[-1] in ERRORS.read_text().splitlines()


def _content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_table_is_of_these_inputs_to_every_command() -> None:
    commands = {
        *STAGES,
        "predict",
        "explain",
        "export",
        "breast-ultrasound evaluate",
        "audit",
        "resplit",
        "trials",
        "cache",
        "cache prune",
    }
    assert {bad.command for bad in CASES} == commands
    assert len({(bad.command, bad.wrong) for bad in CASES}) == len(CASES) >= 60
    rows = [line for line in ERRORS.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == len(CASES) + 2
