"""The official file, and others in its format."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.files import write_arrays
from tests.stages.bad_inputs.cases import Arrays, Prepare, add, case
from tools.workspace import TINY, write_params


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
