import csv
import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from breast_ultrasound.cli.app import app
from breast_ultrasound.data.audit import read_audit_set
from breast_ultrasound.files import InputError, write_arrays
from tests.sheets import shows
from tools.workspace import REAL, ROOT


def audit(path: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["audit", str(path), *options])


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    """Forty unlike images: smooth noise of 28×28."""
    coarse = rng.integers(0, 256, (40, 7, 7)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((28, 28))) for c in coarse])


def _folder(root: Path, images: np.ndarray) -> Path:
    """train/cat, train/dog and test/cat: one copy, one mirrored and larger, one conflict."""
    larger = Image.fromarray(images[1, :, ::-1]).resize((112, 112))
    for name, image in {
        **{f"train/cat/{i}.png": Image.fromarray(images[i]) for i in range(10)},
        **{f"train/dog/{i}.png": Image.fromarray(images[i]) for i in range(10, 20)},
        **{f"test/cat/{i}.png": Image.fromarray(images[i]) for i in range(20, 30)},
        "test/cat/copy of 0.png": Image.fromarray(images[0]).convert("RGB"),
        "test/cat/mirrored, 1.png": larger,
        "test/cat/größer.png": Image.fromarray(images[12]),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)
    return root


def test_planted_copies_in_folders_are_found(tmp_path: Path, images: np.ndarray) -> None:
    root = _folder(tmp_path / "set", images)
    written = tmp_path / "out"
    result = audit(
        root,
        *("--json", str(written / "a.json"), "--csv", str(written / "a.csv")),
        *("--sheet", str(written / "a.png")),
    )
    assert result.exit_code == 0, result.output
    assert "3 pairs of near-duplicates in 30 groups: 3 across splits, 1 with different labels" in (
        result.stdout
    )
    summary = json.loads((written / "a.json").read_text())
    assert summary["splits"] == {
        "test": {"images": 13, "leaking": 3},
        "train": {"images": 20, "leaking": 3},
    }
    with (written / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["first"], row["second"], row["mirrored"]) for row in rows}
    assert found == {
        ("test/cat/copy of 0.png", "train/cat/0.png", "0"),
        ("test/cat/mirrored, 1.png", "train/cat/1.png", "1"),
        ("test/cat/größer.png", "train/dog/12.png", "0"),
    }
    assert all(shows(written / "a.png", image) for image in images[[0, 1, 12]])
    assert not any(shows(written / "a.png", image) for image in images[2:12])


def test_the_version_is_the_installed_ones() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"breast-ultrasound {metadata.version('breast-ultrasound')}\n"


def test_leakage_over_the_limit_is_exit_code_1(tmp_path: Path, images: np.ndarray) -> None:
    root = _folder(tmp_path / "set", images)
    assert audit(root, "--fail-over", "3").exit_code == 0
    result = audit(root, "--fail-over", "2")
    assert result.exit_code == 1
    assert "3 pairs cross the splits, over 2" in result.stderr


def test_images_of_16_bits_are_not_blank(tmp_path: Path, images: np.ndarray) -> None:
    for split, own in (("train", images[:10]), ("test", images[:3])):
        (tmp_path / split).mkdir()
        for i, image in enumerate(own):
            Image.fromarray(image.astype(np.uint16) * 200 + 3000).save(
                tmp_path / split / f"{i}.png"
            )
    assert "3 pairs of near-duplicates in 10 groups: 3 across" in audit(tmp_path).stdout


def test_a_missing_label_is_no_conflict_and_a_split_counts_once(
    tmp_path: Path, images: np.ndarray
) -> None:
    arrays = {"train_images": images[:20], "test_images": images[:3]}
    labels = {"train_labels": np.arange(20)[:, None] % 2}
    write_arrays(tmp_path / "a.npz", {**arrays, **labels})
    result = audit(tmp_path / "a.npz", "--splits", "train,test,train")
    assert "3 pairs of near-duplicates in 20 groups: 3 across splits, 0 with" in result.stdout
    labels["test_labels"] = np.array([[0.0], [1.0], [1.0]])  # the third one contradicts
    write_arrays(tmp_path / "a.npz", {**arrays, **labels})
    assert "3 across splits, 1 with" in audit(tmp_path / "a.npz").stdout


@pytest.mark.parametrize("option", ["--json", "--csv", "--sheet"])
def test_a_folder_for_an_output_is_refused(tmp_path: Path, phantom_file: Path, option: str) -> None:
    for place in (".", str(tmp_path)):
        result = audit(phantom_file, option, place)
        assert result.exit_code == 2
        assert "expected the name of a file to write" in result.stderr


def test_the_sheet_is_a_png_whatever_its_name(tmp_path: Path, phantom_file: Path) -> None:
    for name in ("near_duplicates", "near_duplicates.jpg", "near_duplicates.svg"):
        assert audit(phantom_file, "--sheet", str(tmp_path / name)).exit_code == 0
        with Image.open(tmp_path / name) as sheet:
            assert sheet.format == "PNG"


def test_a_clean_set_has_an_empty_sheet(tmp_path: Path, images: np.ndarray) -> None:
    write_arrays(tmp_path / "a.npz", {"train_images": images[:20], "test_images": images[20:]})
    result = audit(tmp_path / "a.npz", "--fail-over", "0", "--sheet", str(tmp_path / "a.png"))
    assert result.exit_code == 0
    assert "0 pairs of near-duplicates in 40 groups" in result.stdout


@pytest.mark.parametrize("kind", ["grey", "grey in one channel", "colour", "large"])
def test_npz_of_every_kind(tmp_path: Path, images: np.ndarray, kind: str) -> None:
    sets = {"train": images[:20], "test": np.concatenate([images[20:], images[5:6]])}
    arrays = {}
    for split, own in sets.items():
        arrays[f"{split}_images"] = {
            "grey": own,
            "grey in one channel": own[..., None],
            "colour": np.repeat(own[..., None], 3, axis=3),
            "large": own.repeat(2, axis=1).repeat(2, axis=2),
        }[kind]
        arrays[f"{split}_labels"] = np.arange(len(own), dtype=np.uint8)[:, None] % 2
    write_arrays(tmp_path / "a.npz", arrays)
    result = audit(tmp_path / "a.npz", "--splits", "train,test")
    assert "1 pairs of near-duplicates in 40 groups: 1 across splits, 1 with" in result.stdout


def test_the_official_counts_are_those_of_preprocess(phantom_file: Path) -> None:
    result = audit(phantom_file)
    assert "12 pairs of near-duplicates in 108 groups" in result.stdout


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "1", "CMYK"])
def test_pictures_of_every_mode_are_seen(tmp_path: Path, images: np.ndarray, mode: str) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    for split, own, to in (("train", images[:10], "L"), ("test", images[:3], mode)):
        (tmp_path / split).mkdir()
        for i, image in enumerate(own):
            large = Image.fromarray(image).resize((140, 140), Image.Resampling.NEAREST)
            large.convert(to).save(tmp_path / split / f"{i}.{suffix if to == mode else 'png'}")
    assert "3 pairs of near-duplicates in 10 groups: 3 across" in audit(tmp_path).stdout


@given(
    kind=st.sampled_from(["png", "jpg", "gif", "bmp", "tif", "webp"]),
    edits=st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=3)), max_size=4),
    cut=st.integers(0, 5000),
)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_of_a_picture_is_read_or_refused(
    tmp_path: Path, kind: str, edits: list[tuple[int, bytes]], cut: int
) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir(exist_ok=True)
        for old in (tmp_path / split).iterdir():
            old.unlink()
        noise = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / split / f"a.{kind}")
    path = tmp_path / "train" / f"a.{kind}"
    content = bytearray(path.read_bytes())
    for place, value in edits:
        content[place % len(content) : place % len(content) + len(value)] = value
    path.write_bytes(content[: max(cut, 20)])
    try:
        assert read_audit_set(tmp_path, [])[0].images.shape == (2, 28, 28)
    except InputError as error:
        assert str(path) in str(error)


def test_an_npz_of_a_later_kind_of_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"train_images": np.zeros((2, 28, 28), dtype=np.uint8)})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 84  # the version needed to read it
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected an npz file"):
        read_audit_set(path, [])


def test_labels_are_told_apart_to_the_last_digit(tmp_path: Path, images: np.ndarray) -> None:
    labels = {
        "train_labels": np.array([1234567, 2]),
        "val_labels": np.array([1234568.0, 2.0]),
        "test_labels": np.array([0.1, 2.0], dtype=np.float32),
    }
    pairs = {f"{name}_images": images[:2] for name in ("train", "val", "test")}
    write_arrays(tmp_path / "a.npz", {**pairs, **labels})
    read, _ = read_audit_set(tmp_path / "a.npz", [])
    assert read.label.tolist() == ["1234567", "2", "1234568", "2", "0.1", "2"]


def test_a_split_that_is_not_there_is_named(tmp_path: Path, images: np.ndarray) -> None:
    root = _folder(tmp_path / "set", images)
    result = audit(root, "--splits", "train,val")
    assert result.exit_code == 2
    assert "val: no such folder" in result.stderr
    assert "has test, train" in result.stderr


def resplit(path: Path, output: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["resplit", str(path), str(output), *options])


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def test_new_splits_hold_the_same_images_and_no_leak(phantom_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "clean.npz"
    result = resplit(phantom_file, output)
    assert result.exit_code == 0, result.output
    assert "crossed the splits, none does now" in result.stdout
    assert hashlib.sha256(output.read_bytes()).hexdigest() in result.stdout
    assert audit(output, "--fail-over", "0").exit_code == 0
    assert audit(phantom_file, "--fail-over", "0").exit_code == 1
    old, new = load(phantom_file), load(output)
    assert sorted(old) == sorted(new)
    for name in old:
        assert (old[name].dtype, old[name].shape) == (new[name].dtype, new[name].shape)

    def rows(arrays: Any) -> list[bytes]:
        kinds = (
            np.concatenate([arrays[f"{split}_{kind}"] for split in ("train", "val", "test")])
            for kind in ("images", "labels")
        )
        return sorted(i.tobytes() + j.tobytes() for i, j in zip(*kinds, strict=True))

    assert rows(old) == rows(new)
    share = np.concatenate([new[f"{split}_labels"] for split in ("train", "val", "test")]).mean()
    for split in ("train", "val", "test"):
        labels = new[f"{split}_labels"]
        assert abs(labels.sum() - share * len(labels)) < 2


def test_a_seed_gives_the_same_file_and_another_another(phantom_file: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.npz" for i in range(3)]
    for file, seed in zip(files, "001", strict=True):
        assert resplit(phantom_file, file, "--seed", seed).exit_code == 0
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


@pytest.mark.skipif(not REAL.exists(), reason="the official file is not there")
@pytest.mark.parametrize("options", [[], ["--without-conflicts"]])
def test_the_official_file_is_dealt_out_as_documented(options: list[str], tmp_path: Path) -> None:
    assert resplit(REAL, tmp_path / "clean.npz", *options).exit_code == 0
    digest = hashlib.sha256((tmp_path / "clean.npz").read_bytes()).hexdigest()
    assert digest in (ROOT / "docs" / "leakage.md").read_text()


def test_conflicts_are_named_and_left_out_if_asked(phantom_file: Path, tmp_path: Path) -> None:
    kept = resplit(phantom_file, tmp_path / "a.npz")
    out = resplit(
        phantom_file, tmp_path / "b.npz", "--without-conflicts", "--csv", str(tmp_path / "b.csv")
    )
    assert kept.stdout.count("\nconflict (t") + kept.stdout.count("\nconflict (v") == 1
    assert out.stdout.count("conflict (left out): ") == 1
    with (tmp_path / "b.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    gone = [row for row in rows if row["new_split"] == ""]
    assert gone == [row for row in rows if row["conflict"] == "1"]
    assert {row["label"] for row in gone} == {"0", "1"}
    assert len({row["group"] for row in gone}) == 1
    assert sum(len(load(tmp_path / "b.npz")[f"{s}_images"]) for s in ("train", "val", "test")) == (
        120 - len(gone)
    )


def test_colour_and_missing_labels_are_dealt_out_too(images: np.ndarray, tmp_path: Path) -> None:
    colour = np.repeat(images[..., None], 3, axis=3)
    colour[30] = colour[3]
    write_arrays(tmp_path / "a.npz", {"train_images": colour[:30], "test_images": colour[30:]})
    result = resplit(tmp_path / "a.npz", tmp_path / "b.npz")
    assert result.exit_code == 0, result.output
    new = load(tmp_path / "b.npz")
    assert new["train_images"].shape == (30, 28, 28, 3)
    assert new["test_images"].shape == (10, 28, 28, 3)
    assert "1 pairs of near-duplicates: 1 crossed the splits" in result.stdout


def test_an_audit_writes_over_nothing_that_it_reads(tmp_path: Path, images: np.ndarray) -> None:
    root = _folder(tmp_path / "set", images)
    write_arrays(tmp_path / "a.npz", {"train_images": images[:30], "test_images": images[30:]})
    for read, output in ((root, root / "train/cat/3.png"), (tmp_path / "a.npz",) * 2):
        before = output.read_bytes()
        result = audit(read, "--csv", str(output))
        assert result.exit_code == 2
        assert "expected another file to write" in result.stderr
        assert output.read_bytes() == before


def test_what_cannot_be_dealt_out_is_refused(phantom_file: Path, tmp_path: Path) -> None:
    for path, output, words in (
        (tmp_path, tmp_path / "a.npz", "expected an npz file"),
        (phantom_file, phantom_file, "expected another file to write"),
        (tmp_path / "none.npz", tmp_path / "a.npz", "no such file or folder"),
    ):
        result = resplit(path, output)
        assert result.exit_code == 2
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


def test_blank_images_are_near_duplicates(tmp_path: Path, images: np.ndarray) -> None:
    blank = np.zeros((20, 28, 28, 1), dtype=np.uint8)
    arrays = {"train_images": blank[:12], "test_images": np.concatenate([blank[12:, ..., 0]])}
    write_arrays(tmp_path / "a.npz", arrays)
    result = audit(tmp_path / "a.npz", "--fail-over", "0")
    assert result.exit_code == 1
    assert "190 pairs of near-duplicates in 1 groups: 96 across splits" in result.stdout


def test_what_an_audit_does_not_look_at_is_named(tmp_path: Path, images: np.ndarray) -> None:
    for i, name in enumerate(("train/a/1.png", "train/a/1_mask.png", "test/a/1.jfif")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i]).save(tmp_path / name, "PNG")
    for name in ("train/a/._1.png", "train/notes.txt", "train/Thumbs.db"):
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "test" / "again").symlink_to("a")
    result = audit(tmp_path, "--fail-over", "0")
    assert result.stderr.startswith("not looked at: 1 masks left out, 1 files left out, .txt\n")
    assert "test               2 images" in result.stdout
    assert "train              1 images" in result.stdout
    result = audit(tmp_path, "--exclude", "test/again/*")
    assert "test               1 images" in result.stdout
    (tmp_path / "train" / "out").symlink_to(tmp_path.parent)
    result = audit(tmp_path)
    assert result.exit_code == 2
    assert "got a link out of it" in result.stderr


def test_frames_of_one_scan_cannot_be_split(tmp_path: Path, images: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(-3, 4, (50, 28, 28))
    frames = (images[:1].astype(int) + noise).clip(0, 255).astype(np.uint8)
    arrays = {"train_images": frames[:40], "test_images": frames[40:]}
    write_arrays(tmp_path / "a.npz", arrays)
    result = CliRunner().invoke(app, ["resplit", str(tmp_path / "a.npz"), str(tmp_path / "b.npz")])
    assert result.exit_code == 2
    assert "split test: expected images for it, got none" in result.stderr
    assert "the largest of 1 groups has 50 of 50 images" in result.stderr
    assert not (tmp_path / "b.npz").exists()
