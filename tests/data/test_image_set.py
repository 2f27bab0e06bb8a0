from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from breast_ultrasound.data.image_set import ImageSet, joined, thumbnails_of
from breast_ultrasound.files import InputError, write_arrays


@pytest.fixture
def images(rng: np.random.Generator) -> ImageSet:
    return ImageSet.of(
        rng.integers(0, 256, (6, 64, 64), dtype=np.uint8),
        np.array([1, 0, 1, 0, 0, 1], dtype=bool),
        split=["train"] * 5 + ["test"],
        patient=["a", "a", "", "b", "b", "c"],
        name=[f"Bilder/Ä {i}.png" for i in range(6)],
        columns={"Device": ["GE", "超声", "", "GE", "GE", "x"]},
    )


def _equal(one: ImageSet, other: ImageSet) -> bool:
    arrays = [{**vars(s), **s.columns} for s in (one, other)]
    return all(
        np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0] if name != "columns"
    )


def test_a_set_comes_back_as_saved(tmp_path: Path, images: ImageSet) -> None:
    images.save(tmp_path / "a.npz")
    back = ImageSet.load(tmp_path / "a.npz")
    assert back.columns.keys() == {"Device"}
    assert _equal(back, images)


def test_what_is_not_given_is_unknown(rng: np.random.Generator) -> None:
    images = ImageSet.of(rng.integers(0, 256, (3, 28, 28), dtype=np.uint8))
    assert not images.malignant.any()
    assert {*images.label, *images.split, *images.patient} == {""}
    assert images.group.tolist() == [0, 1, 2]
    assert images.thumbnails is images.images


def test_a_subset_is_the_same_by_mask_and_by_indices(images: ImageSet) -> None:
    mask = images.malignant
    assert _equal(images.subset(mask), images.subset(np.nonzero(mask)[0]))
    assert images.subset(mask).columns["Device"].tolist() == ["GE", "", "x"]


def test_thumbnails_are_pillows_bilinear_scaling(images: ImageSet) -> None:
    expected = Image.fromarray(images.images[3]).resize((28, 28), Image.Resampling.BILINEAR)
    assert np.array_equal(thumbnails_of(images.images)[3], np.asarray(expected))


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("images", np.zeros((6, 64, 32), np.uint8), r"images: expected uint8 of shape \(6, 64, 64"),
        ("thumbnails", np.zeros((6, 64, 64), np.uint8), r"shape \(6, 28, 28\), got uint8"),
        ("malignant", np.zeros(6), "malignant: expected bool of shape"),
        ("split", np.zeros(5, "<U5"), r"split: expected str of shape \(6,\)"),
        ("column_Device", np.zeros(6), "column_Device: expected str"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, images: ImageSet, name: str, array: np.ndarray, expected: str
) -> None:
    images.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        write_arrays(tmp_path / "a.npz", {**arrays, name: array})
    with pytest.raises(InputError, match=expected):
        ImageSet.load(tmp_path / "a.npz")


def test_an_empty_set_is_read_where_it_may_be(tmp_path: Path, nothing_more: ImageSet) -> None:
    nothing_more.save(tmp_path / "a.npz")
    assert len(ImageSet.load(tmp_path / "a.npz", may_be_empty=True)) == 0
    with pytest.raises(InputError, match="expected at least one, got none"):
        ImageSet.load(tmp_path / "a.npz")


def test_sets_are_joined_without_joining_groups(images: ImageSet) -> None:
    other = ImageSet.of(images.images[:2], images.malignant[:2])
    both = joined([images, other])
    assert len(both) == 8
    assert both.group.tolist() == list(range(8))
    assert both.columns["Device"].tolist()[-3:] == ["x", "", ""]
    assert _equal(both.subset(np.arange(6)), images)
