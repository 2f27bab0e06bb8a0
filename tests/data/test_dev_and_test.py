"""Groups, splits, dev and test of any images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.dev_and_test import (
    best_accuracy,
    best_accuracy_given,
    complete_splits,
    count_patients,
    describe,
    find_known,
    grouped,
    join_patients,
    notes,
    prepare,
)
from breast_ultrasound.data.image_set import SPLITS, ImageSet
from breast_ultrasound.data.near_duplicates import find_near_duplicates
from breast_ultrasound.data.official import read_official
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.files import InputError, write_arrays
from breast_ultrasound.params import Params, Proportions
from tools.workspace import REAL, TINY, merged, shipped_params

PROPORTIONS = Proportions(train=0.7, val=0.1, test=0.2)


@pytest.fixture
def hospital(rng: np.random.Generator) -> ImageSet:
    """300 images of 150 patients without splits, ten of them copies of another patient's."""
    images = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8)
    images[290:] = images[:10]
    patient = np.repeat(np.arange(150), 2).astype(str)
    return ImageSet.of(images, np.arange(300) // 2 % 5 < 2, patient=patient)


def test_splits_are_drawn_stratified_by_whole_groups_and_by_seed(hospital: ImageSet) -> None:
    group = grouped(hospital, 0.95).group
    split, again, other = (complete_splits(hospital, group, PROPORTIONS, s) for s in (3, 3, 4))
    assert np.array_equal(split, again)
    assert not np.array_equal(split, other)
    for name, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        chosen = split == name
        assert chosen.sum() == pytest.approx(300 * share, abs=2)
        assert hospital.malignant[chosen].mean() == pytest.approx(0.4, abs=0.05)
    for members in (group, hospital.patient):
        for value in np.unique(members):
            assert len(np.unique(split[members == value])) == 1


def test_given_splits_are_kept(hospital: ImageSet) -> None:
    given = np.random.default_rng(1).choice(SPLITS, 300)
    images = replace(hospital, split=given)
    assert np.array_equal(complete_splits(images, images.group, PROPORTIONS, 0), given)


def test_val_comes_out_of_train_where_only_test_is_given(hospital: ImageSet) -> None:
    given = np.where(np.arange(300) < 200, "train", "test")
    images = replace(hospital, split=given)
    split = complete_splits(images, grouped(images, 0.95).group, PROPORTIONS, 0)
    assert ((split == "test") == (given == "test")).all()
    assert (split == "val").sum() == pytest.approx(200 / 8, abs=2)


@pytest.mark.parametrize("given", [("train", ""), ("train", "val"), ("test", "val")])
def test_half_given_splits_are_refused(hospital: ImageSet, given: tuple[str, str]) -> None:
    images = replace(hospital, split=np.where(np.arange(300) < 200, *given))
    with pytest.raises(InputError, match="expected every image in train, val or test"):
        complete_splits(images, images.group, PROPORTIONS, 0)


def test_a_split_without_a_class_is_refused(
    hospital: ImageSet, nothing_more: ImageSet, tiny_params: Params
) -> None:
    split = np.where(hospital.malignant, "train", np.where(np.arange(300) < 150, "val", "test"))
    with pytest.raises(InputError, match="train: expected images of both classes, got 120 mal"):
        prepare(replace(hospital, split=split), nothing_more, tiny_params)


def test_groups_join_patients_and_near_duplicates(hospital: ImageSet) -> None:
    duplicates = find_near_duplicates(hospital.thumbnails, 0.95)
    group = join_patients(duplicates, hospital.patient)
    assert len(np.unique(group)) == 150 - 5  # 5 patients are copies of 5 others
    unknown = np.full(300, "")
    assert np.array_equal(join_patients(duplicates, unknown), duplicates.group)


def test_a_patient_on_both_sides_leaks(
    hospital: ImageSet, nothing_more: ImageSet, tiny_params: Params
) -> None:
    split = np.array(["train", "train", "train", "val", "test", "train"] * 50)  # pairs are patients
    prepared = prepare(replace(hospital, split=split), nothing_more, tiny_params)
    assert prepared.test.leaked.all()
    counts = describe(prepared)
    assert counts["patients"] == {
        "patients": 150,
        "images_without_patient": 0,
        "with_both_labels": 0,
        "in_two_splits": 100,
    }
    assert any("100 in two splits" in line for line in notes(counts, 50))


def test_patients_with_both_labels_are_counted(hospital: ImageSet) -> None:
    truth = hospital.malignant.copy()
    truth[[0, 7]] ^= True
    images = replace(hospital, malignant=truth, split=np.full(300, "train"))
    assert count_patients(images)["with_both_labels"] == 2


def test_no_near_duplicate_of_dev_or_test_is_learned_from_besides(
    hospital: ImageSet, tiny_params: Params, rng: np.random.Generator
) -> None:
    fresh = rng.integers(0, 256, (20, 28, 28), dtype=np.uint8)
    fresh[:5] = hospital.images[:5, :, ::-1]
    more = ImageSet.of(fresh, np.arange(20) % 2 == 0)
    assert (
        find_known(more.thumbnails, hospital.thumbnails, 0.95).tolist() == [True] * 5 + [False] * 15
    )
    prepared = prepare(hospital, more, tiny_params)
    assert prepared.also_train.name.tolist() == [str(i) for i in range(5, 20)]
    assert describe(prepared)["also_train"] == {
        "images": 15,
        "malignant": 7,
        "near_duplicates_left_out": 5,
    }


def test_a_clean_split_is_crossed_by_no_group(hospital: ImageSet, nothing_more: ImageSet) -> None:
    split = np.random.default_rng(1).choice(SPLITS, 300, p=[0.7, 0.1, 0.2])
    params = Params.model_validate(
        merged(merged(shipped_params(), TINY), {"data": {"split": "clean"}})
    )
    prepared = prepare(replace(hospital, split=split), nothing_more, params)
    assert not prepared.images.leaked.any()
    for name in SPLITS:
        assert (prepared.images.split == name).sum() == pytest.approx((split == name).sum(), abs=2)


def test_leaked_is_symmetric_across_the_border(dev_test: tuple[ImageSet, ImageSet]) -> None:
    dev, test = dev_test
    assert set(np.unique(dev.split)) == {"train", "val"}
    assert set(np.unique(test.split)) == {"test"}
    assert 0 < test.leaked.sum() < len(test)
    assert np.array_equal(test.leaked, np.isin(test.group, dev.group))
    assert np.array_equal(dev.leaked, np.isin(dev.group, test.group))


@pytest.mark.parametrize("side", [28, 64])
def test_planted_duplicates_are_found_and_nothing_else(
    tmp_path: Path, nothing_more: ImageSet, tiny_params: Params, side: int
) -> None:
    n_images = 300
    write_arrays(tmp_path / "a.npz", make_phantoms(n_images, seed=3, side=side))
    prepared = prepare(read_official(tmp_path / "a.npz"), nothing_more, tiny_params)
    assert len(prepared.duplicates.pairs) == 0.1 * n_images  # as planted
    assert prepared.duplicates.mirrored.sum() == 4  # every eighth of 30
    counts = describe(prepared)
    assert counts["near_duplicates"]["conflicting_pairs"] == 3  # a tenth of 30


@pytest.mark.skipif(not REAL.exists(), reason="the official file is not there")
def test_the_official_file_leaks_as_measured(nothing_more: ImageSet, tiny_params: Params) -> None:
    counts = describe(prepare(read_official(REAL), nothing_more, tiny_params))
    assert counts["images"] == dict(zip(SPLITS, (546, 78, 156), strict=True))
    assert counts["malignant"] == dict(zip(SPLITS, (147, 21, 42), strict=True))
    assert counts["near_duplicates"] == {
        "pairs": 245,
        "cross_split_pairs": 131,
        "conflicting_pairs": 10,
        "conflicting_cross_split_pairs": 8,
        "groups": 589,
        "leaked_test_images": 65,
        "leak_free_test_images": 91,
        "leak_free_test_malignant": 30,
    }
    assert counts["best_accuracy"] == {
        "all": pytest.approx(774 / 780),
        "test": 1,
        "test_given_dev": pytest.approx(150 / 156),
    }


def test_alike_predictions_miss_the_rarer_label_of_a_group() -> None:
    malignant = np.array([1, 0, 1, 1, 0, 0], dtype=bool)
    assert best_accuracy(malignant, np.arange(6)) == 1
    assert best_accuracy(malignant, np.array([0, 0, 1, 1, 1, 2])) == 4 / 6


def test_a_test_image_is_lost_where_most_of_its_duplicates_in_dev_disagree() -> None:
    def images(malignant: list[int], group: list[int]) -> ImageSet:
        n_images = len(group)
        blank = np.zeros((n_images, 28, 28), dtype=np.uint8)
        return replace(ImageSet.of(blank, np.array(malignant, dtype=bool)), group=np.array(group))

    dev = images([1, 1, 0, 1, 0, 1], [0, 1, 1, 1, 2, 2])
    test = images([0, 0, 0, 1, 1], [0, 1, 2, 2, 3])  # two lost; a tie and a stranger are not
    assert best_accuracy_given(test, dev, test.group, dev.group) == 3 / 5
