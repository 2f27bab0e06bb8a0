"""Own images, of tables and folders, right and wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from breast_ultrasound.data.official import read_official
from breast_ultrasound.data.own_images import read_own_images
from breast_ultrasound.data.pictures import read_picture
from breast_ultrasound.data.tables import read_columns
from breast_ultrasound.files import InputError
from breast_ultrasound.params import ColumnParams, OwnImages
from tests.hospitals import write_busbra
from tools.workspace import REAL

BUSI = REAL.parent / "busi"
COLUMNS = {"image": "Images/{ID}.png", "label": "Pathology", "patient": "Case"}


def _own(folder: Path, **changes: Any) -> OwnImages:
    columns = {
        "image": "image",
        "label": "label",
        "patient": None,
        "split": None,
        "subgroups": [],
        **changes.pop("columns", {}),
    }
    values = {
        "images": str(folder),
        "table": None,
        "malignant": ["malignant"],
        "benign": ["benign", "normal"],
        "exclude": [],
        **changes,
    }
    return OwnImages(columns=ColumnParams(**columns), **values)


def _picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """A folder per class in BUSI's layout, with what such folders hold besides."""
    for i in range(3):
        for kind in ("benign", "malignant", "normal"):
            _picture(tmp_path / kind / f"{kind} ({i}).png", hash((kind, i)) % 1000)
            _picture(tmp_path / kind / f"{kind} ({i})_mask.png", i)
    _picture(tmp_path / "benign" / "benign (0)_mask_1.png", 7)
    _picture(tmp_path / "benign" / "Masks" / "1.png", 8)
    _picture(tmp_path / "benign" / ".ipynb_checkpoints" / "1.png", 9)
    for name in ("._benign (0).png", "Thumbs.db", ".DS_Store", "notes.txt", "more.TXT"):
        (tmp_path / "benign" / name).write_bytes(b"?")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "README").write_text("?")
    return tmp_path


def test_a_folder_per_class_is_read_as_published(classes: Path) -> None:
    images, counts = read_own_images(_own(classes), 28)
    assert len(images) == 9
    assert images.malignant.sum() == 3
    assert sorted(set(images.label)) == ["benign", "malignant", "normal"]
    assert images.name[0] == "benign/benign (0).png"
    assert {words: n for words, n in counts.items() if n} == {
        "masks left out": 11,
        "files left out, .txt": 2,
        "files left out, README": 1,
    }
    assert set(images.split) == {""}


def test_patterns_leave_out_more(classes: Path) -> None:
    images, counts = read_own_images(_own(classes, exclude=["normal/*", "*(1).png"]), 28)
    assert sorted(images.name) == [
        "benign/benign (0).png",
        "benign/benign (2).png",
        "malignant/malignant (0).png",
        "malignant/malignant (2).png",
    ]
    assert counts["excluded by pattern"] == 6 + 2  # masks too, where the pattern has them


def test_splits_may_stand_above_classes(tmp_path: Path) -> None:
    for i, (split, kind) in enumerate(
        [
            ("Training", "benign"),
            ("Training", "malignant"),
            ("validation", "benign"),
            ("test", "malignant"),
        ]
    ):
        _picture(tmp_path / split / kind / "a.png", i)
    images, _ = read_own_images(_own(tmp_path), 28)
    assert images.split.tolist() == ["train", "train", "test", "val"]
    _picture(tmp_path / "benign" / "b.png", 9)
    with pytest.raises(InputError, match="expected folders of splits or of classes, got both"):
        read_own_images(_own(tmp_path), 28)


def test_links_are_followed_within_the_folder_and_refused_out_of_it(classes: Path) -> None:
    (classes / "benign" / "again").symlink_to("..")  # leads in a circle
    (classes / "benign" / "normal too").symlink_to("../normal")
    assert len(read_own_images(_own(classes), 28)[0]) == 9 + 3
    (classes / "malignant" / "out.png").symlink_to(classes.parent / "x.png")
    _picture(classes.parent / "x.png", 3)
    with pytest.raises(InputError, match="got a link out of it"):
        read_own_images(_own(classes), 28)


def test_a_table_keeps_its_own_names(tmp_path: Path) -> None:
    folder = write_busbra(tmp_path / "busbra")
    own = _own(folder, table="bus_data.csv", columns={**COLUMNS, "subgroups": ["Device", "BIRADS"]})
    images, counts = read_own_images(own, 64)
    assert images.images.shape == (32, 64, 64)
    assert images.name[1] == "Images/bus_0000-r.png"
    assert images.patient.tolist()[:4] == ["2", "2", "4", "4"]
    assert set(images.columns["Device"]) == {"GE Logiq 5", "GE Logiq 7"}
    assert not any(counts.values())
    one = read_picture(folder / "Images" / "bus_0003-l.png", 64)
    assert np.array_equal(images.images[6], one)


def _table(folder: Path, text: str) -> OwnImages:
    for i in range(4):
        _picture(folder / "Images" / f"{i}.png", i)
    (folder / "a.csv").write_text(text)
    return _own(folder, table="a.csv")


def test_labels_and_patients_may_be_numbers_and_splits_are_kept(tmp_path: Path) -> None:
    text = "image,label,p,s\nImages/0.png,1.0,7,Train\nImages\\1.png,0,7.0,valid\n"
    own = _table(tmp_path, text).model_copy(update={"malignant": ["1"], "benign": ["0"]})
    columns = own.columns.model_copy(update={"patient": "p", "split": "s"})
    images, _ = read_own_images(own.model_copy(update={"columns": columns}), 28)
    assert images.malignant.tolist() == [True, False]
    assert images.patient.tolist() == ["7", "7"]
    assert images.split.tolist() == ["train", "val"]
    assert OwnImages.model_validate({**own.model_dump(), "malignant": [1]}).malignant == ["1"]


HEAD = "image,label\n"
GOOD = HEAD + "Images/0.png,benign\nImages/1.png,malignant\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD, "expected rows below the header"),
        ("picture,label\nx,y\n", "expected one column 'image', got none; it has picture, label"),
        (GOOD + "Images/2.png,cyst\n", r"found 'benign' \(1\), 'malignant' \(1\), 'cyst' \(1\)"),
        (HEAD + "Images/0.png,benign\n", "expected malignant images too, found 'benign'"),
        (HEAD + "Images/0.png,malignant\n", "expected benign images too"),
        (GOOD + "Images/0.png,benign\n", "got 1 more than once: Images/0.png"),
        (
            GOOD + "".join(f"Images/{i}0.png,benign\n" for i in range(1, 6)),
            r"5 of 7 images cannot be read: .*10\.png: no such file.* · .*20\.png.* · .*30\.png",
        ),
        (GOOD + "../x.png,benign\n", r"expected paths of images below .*, got '\.\./x\.png'"),
        (GOOD + "/etc/passwd,benign\n", "got '/etc/passwd'"),
        (GOOD + ",benign\n", "got ''"),
    ],
)
def test_wrong_rows_are_refused_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as error:
        read_own_images(_table(tmp_path, text), 28)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("template", ["Images/{}.png", "Images/x.png", "{Nr}.png"])
def test_a_template_names_columns(tmp_path: Path, template: str) -> None:
    own = _table(tmp_path, GOOD)
    columns = own.columns.model_copy(update={"image": template})
    with pytest.raises(InputError, match=r"expected (a column, or a template|one column)"):
        read_own_images(own.model_copy(update={"columns": columns}), 28)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    own = _table(tmp_path, "image,label,s\nImages/0.png,benign,A\nImages/1.png,malignant,B\n")
    columns = own.columns.model_copy(update={"split": "s"})
    with pytest.raises(InputError, match="expected splits named train, val, test"):
        read_own_images(own.model_copy(update={"columns": columns}), 28)


def _empty(folder: Path) -> None:
    """Nothing in it."""


def _masks_only(folder: Path) -> None:
    _picture(folder / "benign" / "a_mask.png", 0)


def _no_class(folder: Path) -> None:
    _picture(folder / "a.png", 0)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (_empty, "expected a folder of pictures per class, got nothing"),
        (_masks_only, "got 1 masks left out"),
        (_no_class, "expected pictures in folders of class, got one above them"),
    ],
)
def test_folders_without_classes_are_refused(
    tmp_path: Path, make: Callable[[Path], None], expected: str
) -> None:
    make(tmp_path)
    with pytest.raises(InputError, match=expected):
        read_own_images(_own(tmp_path), 28)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone: no such folder of images"):
        read_own_images(_own(tmp_path / "gone"), 28)


def test_nothing_is_written(classes: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in classes.rglob("*")}
    read_own_images(_own(classes), 28)
    assert {path: path.stat().st_mtime_ns for path in classes.rglob("*")} == before


@pytest.mark.skipif(not BUSI.exists(), reason="BUSI's originals are not there")
@pytest.mark.parametrize("side", [28, 64, 128, 224])
def test_busis_originals_give_the_official_images(side: int) -> None:
    name = REAL.name if side == 28 else f"breastmnist_{side}.npz"
    official = read_official(REAL.with_name(name))
    place = {name: i for i, name in enumerate(official.name.tolist())}
    table = read_columns(
        BUSI / "breastmnist_to_busi.csv", ["split", "index", "busi_class", "busi_file"]
    )
    n_same = n_files = 0
    for split, index, kind, file in zip(*table.values(), strict=True):
        path = BUSI / "images" / kind / file
        if path.exists():
            found = read_picture(path, side).astype(int)
            difference = np.abs(found - official.images[place[f"{split}[{index}]"]]).max()
            assert difference <= (side == 28)  # by one grey level, and only of the smallest
            n_same += difference == 0
            n_files += 1
    assert n_files == 57
    assert n_same >= (56 if side == 28 else 57)
