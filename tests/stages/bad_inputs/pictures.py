"""Pictures and arrays that are none, and models to ask about them."""

import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.files import write_arrays
from tests.stages.bad_inputs.cases import Prepare, add, case
from tests.stages.bad_inputs.outputs import of_pictures, write_pictures
from tests.stages.bad_inputs.own_images import without_thumbnails


def _spoilt(change: Callable[[Path], object]) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        change(write_pictures(folder))
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
add("audit", "a split that is not there", of_pictures("--splits", "train,val"))


@case("audit", "images with fractions")
def _(folder: Path) -> list[str]:
    write_arrays(folder / "a.npz", {"train_images": np.zeros((3, 28, 28))})
    return ["a.npz"]


@case("audit", "labels of other images")
def _(folder: Path) -> list[str]:
    arrays = make_phantoms(90, seed=0)
    write_arrays(folder / "a.npz", {**arrays, "val_labels": arrays["val_labels"][1:]})
    return ["a.npz"]


def _table(folder: Path, image: str) -> list[str]:
    (folder / "some.csv").write_text("image\na.png\n")
    return ["some.csv", "--image", image]


def _predicted(change: Callable[[Path], object], *options: str) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        change(write_pictures(folder))
        return ["set/train", *options]

    return prepare


def _asked(change: Callable[[Path], object]) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        change(write_pictures(folder))
        return ["set/train/0.png"]

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
    without_thumbnails(picture.parents[2])
    card = picture.parents[2] / "models/final/model.json"
    content = json.loads(card.read_text())
    card.write_text(json.dumps({**content, "data": "0" * 64}))


add("predict", "a picture that is not there", lambda _: ["gone.png"])
add("predict", "a folder that is empty", _predicted(_emptied))
add("predict", "a PNG cut short", _asked(lambda p: p.write_bytes(p.read_bytes()[:200])))
add("predict", "a picture of 16 bits", _asked(_wide))
add("predict", "a picture of 16 bits per colour", _asked(_wide_colour))
add("predict", "a DICOM file cut short", _asked(
    lambda p: p.write_bytes(bytes(128) + b"DICM" + bytes(9))
))  # fmt: skip
add("predict", "a picture of one grey", _asked(lambda p: Image.new("L", (9, 9), 7).save(p)))
add("predict", "a model that is not there", _predicted(str, "--model", "gone"))
add("predict", "a model trained on other images", _predicted(_of_other_images))
add("predict", "an unknown operating point", _predicted(str, "--operating-point", "best"))
add("predict", "a pattern of nothing", lambda _: ["*.png"])
add("predict", "an empty name", lambda _: [""])
add("predict", "a name of neither file nor folder", lambda _: ["/dev/null"])
add("predict", "a model that is a file", _predicted(str, "--model", "params.yaml"))
add("predict", "a table with a template of nothing", lambda folder: _table(folder, "{}.png"))
add("explain", "a picture that is not there", lambda _: ["gone.png", "--out", "maps"])
add("explain", "a file for the folder of maps", _predicted(str, "--out", "params.yaml"))
add("explain", "maps beside the images", _predicted(str, "--out", "set/train"))
add("export", "an output that is no ONNX", lambda _: ["models/final/model.json"])
add("export", "a model that is not there", lambda _: ["a.onnx", "--model", "gone"])
add("export", "an output in a folder that cannot be written", lambda _: ["/proc/here/a.onnx"])


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
add("predict", "an npz of blank images", _arrays(images=np.zeros((1, 28, 28), np.uint8)))
add("predict", "an npz of no pixels", _arrays(images=np.zeros((1, 0, 0), np.uint8)))
add("predict", "an npz of one colour picture", _arrays(images=np.zeros((1, 28, 3), np.uint8)))
add("predict", "an npz of pickled objects", _arrays(images=np.array([{}], dtype=object)))
add("resplit", "a folder of pictures", of_pictures("out.npz"))


@case("resplit", "a file that is not there")
def _(folder: Path) -> list[str]:
    return ["gone.npz", "out.npz"]


@case("resplit", "an output in a folder that cannot be written")
def _(folder: Path) -> list[str]:
    write_arrays(folder / "a.npz", make_phantoms(90, seed=0))
    return ["a.npz", "/proc/here/out.npz"]


def _card(**changes: object) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        card = folder / "models/final/model.json"
        card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))
        return ["data/processed/test.npz"]

    return prepare


add("predict", "a model of no networks", _card(seeds=[]))
add("predict", "a model of temperature 0", _card(temperature=0))
add("predict", "a model without operating points", _card(operating_points={}))


@case("predict", "an npz of images less than none")
def _(folder: Path) -> list[str]:
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        array, {"descr": "|u1", "fortran_order": False, "shape": (-1, 28, 28)}
    )
    with zipfile.ZipFile(folder / "some.npz", "w") as file:
        file.writestr("images.npy", array.getvalue())
    return ["some.npz"]
