"""`breast-ultrasound predict` with the model that the stages have made."""

import csv
import io
import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import ExifTags, Image
from typer.testing import CliRunner

from breast_ultrasound.cli.app import app
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.official import read_official
from breast_ultrasound.data.pictures import read_picture
from breast_ultrasound.data.tables import read_columns
from breast_ultrasound.model import classifier
from breast_ultrasound.model.artifact import load_model
from tests.stages.reads import Reads
from tools.workspace import REAL

BUSI = REAL.parent / "busi"


def ask(*arguments: Path | str) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def rows_of(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_a_picture_gets_the_prediction_that_its_pixels_get_on_test(
    finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is said to be a near-duplicate exactly where `preprocess` calls the test image leaked."""
    monkeypatch.chdir(finished[0])
    test = ImageSet.load(Path("data/processed/test.npz"))
    for i, image in enumerate(test.images):
        # What is left and right of the square is cut off.
        picture = Image.fromarray(np.pad(image, ((0, 0), (3, 3)), mode="edge"))
        picture.convert("RGB" if i % 2 else "L").save(tmp_path / f"{i:03}.png")
    rows = rows_of(ask(tmp_path, "--format", "csv"))
    model = load_model(Path("models/final")).classifier()
    predictions = classifier.predict(model, test.images, "cpu")
    for name, expected in (
        ("malignant_probability", predictions.probability),
        ("lowest", predictions.member_probability.min(axis=0)),
        ("highest", predictions.member_probability.max(axis=0)),
        ("malignant", predictions.probability >= 0.5),
    ):
        np.testing.assert_allclose([float(row[name]) for row in rows], expected, rtol=1e-5)
    assert [row["image"] for row in rows] == [
        str(tmp_path / f"{i:03}.png") for i in range(len(test))
    ]
    assert [bool(row["dev_near_duplicate"]) for row in rows] == test.leaked.tolist()
    lines = ask(tmp_path).stdout.splitlines()
    assert lines[0].split() == ["malignant", "networks", "predicted", "image"]
    assert ["near-duplicate" in line for line in lines[1:]] == test.leaked.tolist()
    assert 0 < test.leaked.sum() < len(test)


@pytest.mark.skipif(not BUSI.exists(), reason="BUSI's originals are not there")
def test_an_original_is_decided_as_the_official_image(
    finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished[0])
    official = read_official(REAL)
    place = {name: i for i, name in enumerate(official.name.tolist())}
    table = read_columns(
        BUSI / "breastmnist_to_busi.csv", ["split", "index", "busi_class", "busi_file"]
    )
    known = {
        str(BUSI / "images" / kind / file): place[f"{split}[{index}]"]
        for split, index, kind, file in zip(*table.values(), strict=True)
        if (BUSI / "images" / kind / file).exists()
    }
    rows = rows_of(ask(BUSI / "images", "--format", "csv"))
    images = official.images[[known[row["image"]] for row in rows]]
    model = load_model(Path("models/final")).classifier()
    expected = classifier.predict(model, images, "cpu").probability
    assert len(rows) == len(known) == 57
    found = np.array([float(row["malignant_probability"]) for row in rows])
    np.testing.assert_allclose(found, expected, atol=0.005)  # of one, a grey level is another
    cut = np.median(expected)  # the model of phantoms is on one side of 1/2 with all of them
    sure = np.abs(expected - cut) > 0.005
    np.testing.assert_array_equal((found > cut)[sure], (expected > cut)[sure])


@pytest.fixture
def pictures(finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one picture of a gradient, as tall as wide, brighter downwards."""
    monkeypatch.chdir(finished[0])
    (tmp_path / "in" / "deep").mkdir(parents=True)
    ramp = np.linspace(0, 255, 56).astype(np.uint8)[:, None].repeat(56, axis=1)
    Image.fromarray(ramp).save(tmp_path / "in" / "deep" / "ramp.png")
    return tmp_path / "in"


def test_pictures_are_found_in_folders_of_folders_beside_other_files(pictures: Path) -> None:
    (pictures / "notes.txt").write_text("no picture")
    alone = ask(pictures / "deep" / "ramp.png")
    assert alone.exit_code == 0, alone.output
    assert ask(pictures).stdout == alone.stdout


def test_a_picture_is_read_the_way_up_that_it_is_shown(pictures: Path) -> None:
    upright = pictures / "deep" / "ramp.png"
    with Image.open(upright) as picture:
        turned = picture.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6  # to be shown turned by 270 degrees
        turned.save(pictures / "turned.png", exif=exif)
    one, other = (read_picture(file, 28) for file in (upright, pictures / "turned.png"))
    assert np.array_equal(one, other)


def test_sixteen_bits_for_all_colours_together_are_not_too_many(pictures: Path) -> None:
    """A BMP of 5, 6 and 5 bits, by hand: Pillow reads but does not write such."""
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 16, 3, 128, 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    pixels = struct.pack("<64H", *range(0, 65536, 1024))
    start = struct.pack("<2sIHHI", b"BM", 66 + len(pixels), 0, 0, 66)
    (pictures / "old.bmp").write_bytes(start + header + masks + pixels)
    result = ask(pictures / "old.bmp")
    assert result.exit_code == 0, result.output


def test_a_name_takes_one_line_on_any_terminal(pictures: Path) -> None:
    for name in ("a\nb.png", os.fsdecode(b"\xff.png")):
        (pictures / "deep" / "ramp.png").rename(pictures / name)
        result = ask(pictures)
        assert result.exit_code == 0, result.output
        assert result.stdout.count("\n") == 2
        result.stdout.encode("utf-8", errors="strict")
        (pictures / name).rename(pictures / "deep" / "ramp.png")


def test_the_formats_say_the_same(pictures: Path) -> None:
    table = rows_of(ask(pictures, "--format", "csv"))
    listed = json.loads(ask(pictures, "--format", "json").stdout)
    lines = [json.loads(line) for line in ask(pictures, "--format", "jsonl").stdout.splitlines()]
    assert listed == lines
    assert len(listed) == len(table) == 1
    for one, row in zip(listed, table, strict=True):
        assert list(one) == list(row)
        assert {name: "" if v is None else str(v) for name, v in one.items()} == row
    text = ask(pictures).stdout.splitlines()[1].split()
    assert text[:2] == [f"{listed[0]['malignant_probability']:.2f}", f"{listed[0]['lowest']:.2f}"]


def test_arrays_tables_patterns_and_files_are_predicted_alike(
    pictures: Path, tmp_path: Path
) -> None:
    test = ImageSet.load(Path("data/processed/test.npz"))
    n_images = 5
    for i in range(n_images):
        Image.fromarray(test.images[i]).save(pictures / f"t{i}.png")
    large = test.images[:n_images].repeat(3, axis=1).repeat(3, axis=2)
    np.savez_compressed(tmp_path / "some.npz", images=test.images[:n_images], test_images=large)
    (tmp_path / "table.csv").write_text("".join(["nr\n", *(f"{i}\n" for i in range(n_images))]))
    asked = {
        "pattern": ["--format", "csv", f"{pictures}/t*.png"],
        "table": ["--format", "csv", "--image", "in/t{nr}.png", str(tmp_path / "table.csv")],
        "files": ["--format", "csv", *(str(pictures / f"t{i}.png") for i in range(n_images))],
        "array": ["--format", "csv", str(tmp_path / "some.npz")],
    }
    rows = {name: rows_of(ask(*arguments)) for name, arguments in asked.items()}
    assert rows["pattern"] == rows["files"] == rows["table"]
    names = [row.pop("image") for row in rows["array"]]
    assert names[::n_images] == [
        f"{tmp_path}/some.npz: images[0]",
        f"{tmp_path}/some.npz: test_images[0]",
    ]
    for row in rows["files"]:
        del row["image"]
    assert rows["array"][:n_images] == rows["files"]
    for one, other in zip(rows["array"][n_images:], rows["files"], strict=True):
        assert float(one["malignant_probability"]) == pytest.approx(
            float(other["malignant_probability"]), abs=0.1
        )


def test_without_a_model_of_its_own_a_project_asks_the_shipped_one(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ask(pictures)
    assert own.stderr == "model: models/final\n"
    shutil.copytree("models/final", tmp_path / "clone" / "models" / "release")
    monkeypatch.chdir(tmp_path / "clone")
    shipped = ask(pictures)
    assert shipped.stderr == "model: models/release\n"
    assert shipped.stdout == own.stdout


def test_what_cannot_be_read_is_named_and_costs_no_other(pictures: Path) -> None:
    alone = ask(pictures, "--format", "json").stdout
    for name in ("a.png", "z.png"):
        (pictures / name).write_text("no picture")
    found = ask(pictures, "--format", "json")
    assert found.exit_code == 2
    assert found.stdout == alone
    errors = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert [Path(line.split(": ")[1]).name for line in errors] == ["a.png", "z.png"]


def test_a_pattern_leaves_out_what_a_folder_does(pictures: Path) -> None:
    ramp = pictures / "deep" / "ramp.png"
    for name in ("old.png", "ramp_mask.png"):
        shutil.copy(ramp, ramp.with_name(name))
    alone, found = ask(ramp), ask(f"{pictures}/deep/*.png", "--exclude", "old*")
    assert found.stdout == alone.stdout
    assert "1 excluded by pattern, 1 masks left out" in found.stderr
    assert ask(ramp.with_name("ramp_mask.png")).exit_code == 0  # named, so meant


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize("name", ["$\\frac$", "乳房", "x" * 245, "a\udcff"])
def test_maps_are_drawn_of_any_name(pictures: Path, tmp_path: Path, name: str) -> None:
    picture = (pictures / "deep" / "ramp.png").rename(pictures / f"{name}.png")
    result = CliRunner().invoke(app, ["explain", str(picture), "--out", str(tmp_path / "maps")])
    assert result.exit_code == 0, result.output
    assert result.stderr.count("\n") == 1  # the model's
    assert len(list((tmp_path / "maps").glob("0000_*.png"))) == 1
