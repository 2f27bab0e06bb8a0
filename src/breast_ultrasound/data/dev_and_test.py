"""From images to the sets that the pipeline works on: groups, splits, dev and test, and counts."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import SPLITS, ImageSet
from breast_ultrasound.data.near_duplicates import NearDuplicates, find_near_duplicates
from breast_ultrasound.data.resplit import apportion, clean_split
from breast_ultrasound.files import InputError
from breast_ultrasound.params import Params, Proportions


@dataclass(frozen=True)
class PreparedImages:
    """What the stages after `preprocess` work on, and what is counted.

    Attributes:
        images: all, with their splits, groups and leak flags.
        duplicates: among them.
        also_train: images to learn from besides, none a near-duplicate of those.
        n_left_out: of `also_train`, the near-duplicates that were left out.
    """

    images: ImageSet
    duplicates: NearDuplicates
    also_train: ImageSet
    n_left_out: int

    @property
    def dev(self) -> ImageSet:
        """The train and val images."""
        return self.images.subset(self.images.split != "test")

    @property
    def test(self) -> ImageSet:
        """The test images."""
        return self.images.subset(self.images.split == "test")


def prepare(raw: ImageSet, also_train: ImageSet, params: Params) -> PreparedImages:
    """Group and split images as params.yaml says.

    Raises:
        InputError: given splits lack one, or a split lacks a class.
    """
    cut, seed, data = params.preprocess.near_duplicate_correlation, params.seed, params.data
    duplicates = find_near_duplicates(raw.thumbnails, cut)
    group = join_patients(duplicates, raw.patient)
    split = complete_splits(raw, group, data.proportions, seed)
    if data.split == "clean":
        split = clean_split(raw.malignant, group, split, seed)
    images = with_leaks(replace(raw, split=split, group=group), duplicates)
    _check_splits(images)
    known = find_known(also_train.thumbnails, images.thumbnails, cut)
    return PreparedImages(images, duplicates, also_train.subset(~known), int(known.sum()))


def join_patients(duplicates: NearDuplicates, patient: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return groups, (N,) int64, that join near-duplicates and the images of each patient.

    Args:
        patient: (N,) str; "" is an unknown one, who joins nothing.
    """
    known = np.nonzero(patient != "")[0]
    if not len(known):
        return duplicates.group
    _, first, member = np.unique(patient[known], return_index=True, return_inverse=True)
    links = np.stack([known[first][member], known], axis=1)
    pairs = np.concatenate([duplicates.pairs, links])
    some = np.zeros(len(pairs))
    return NearDuplicates.joined(pairs, some, some.astype(np.bool_), len(patient)).group


def grouped(images: ImageSet, correlation: float) -> ImageSet:
    """Return images with the groups that patients and near-duplicates make."""
    duplicates = find_near_duplicates(images.thumbnails, correlation)
    return replace(images, group=join_patients(duplicates, images.patient))


def complete_splits(
    images: ImageSet, group: NDArray[np.int64], proportions: Proportions, seed: int
) -> NDArray[np.str_]:
    """Return the splits, (N,), that images come with, or else new ones: stratified, whole groups.

    Where they come with train and test alone, val is drawn from train.
    """
    shares = np.array([proportions.train, proportions.val, proportions.test])
    given = set(np.unique(images.split).tolist())
    if given == {""}:
        return _draw(images.malignant, group, SPLITS, shares, seed)
    if given == {"train", "test"}:
        split = images.split.astype("<U5")
        train = split == "train"
        split[train] = _draw(images.malignant[train], group[train], SPLITS[:2], shares[:2], seed)
        return split
    if given != set(SPLITS):
        have = ", ".join(repr(name) for name in sorted(given))
        raise InputError(
            f"data: expected every image in train, val or test, and each of them, or none, "
            f"got {have}; complete data.columns.split's column, or set it to null"
        )
    return images.split


def _draw(
    malignant: NDArray[np.bool_],
    group: NDArray[np.int64],
    names: tuple[str, ...],
    shares: NDArray[np.float64],
    seed: int,
) -> NDArray[np.str_]:
    sizes = apportion(len(malignant), shares)
    return clean_split(malignant, group, np.repeat(np.array(names), sizes), seed)


def _check_splits(images: ImageSet) -> None:
    for name in SPLITS:
        found = images.malignant[images.split == name]
        if len(np.unique(found)) < 2:
            counts = f"{found.sum()} malignant and {(~found).sum()} benign ones"
            raise InputError(
                f"data: {name}: expected images of both classes, got {counts}; "
                "add images, or change data.proportions, data.columns.split or seed"
            )


def with_leaks(images: ImageSet, duplicates: NearDuplicates) -> ImageSet:
    """Return images with `leaked`: a near-duplicate or the same patient across dev and test."""
    is_test = images.split == "test"
    leaked = np.zeros(len(images), dtype=np.bool_)
    across = is_test[duplicates.pairs[:, 0]] != is_test[duplicates.pairs[:, 1]]
    leaked[duplicates.pairs[across]] = True
    both = set(images.patient[is_test]) & set(images.patient[~is_test]) - {""}
    leaked |= np.isin(images.patient, sorted(both))
    return replace(images, leaked=leaked)


def on_clean_split(images: ImageSet, correlation: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return dev and test of splits that no group crosses, of the sizes of those given."""
    duplicates = find_near_duplicates(images.thumbnails, correlation)
    group = join_patients(duplicates, images.patient)
    split = clean_split(images.malignant, group, images.split, seed)
    clean = with_leaks(replace(images, split=split, group=group), duplicates)
    return clean.subset(split != "test"), clean.subset(split == "test")


def find_known(
    others: NDArray[np.uint8], images: NDArray[np.uint8], correlation: float
) -> NDArray[np.bool_]:
    """Return which of `others`, (N,) bool, are near-duplicates of one of `images`.

    Args:
        others, images: thumbnails, (N, 28, 28) and (M, 28, 28).
    """
    n_images, known = len(images), np.zeros(len(others), dtype=np.bool_)
    if len(others):
        together = np.concatenate([images, others])
        pairs = find_near_duplicates(together, correlation).pairs
        across = (pairs[:, 0] < n_images) & (pairs[:, 1] >= n_images)
        known[pairs[across, 1] - n_images] = True
    return known


def best_accuracy(malignant: NDArray[np.bool_], group: NDArray[np.int64]) -> float:
    """Return the accuracy that no classifier exceeds which predicts alike on near-duplicates.

    It gives each group, (N,) int64, its more frequent label.
    """
    _, member = np.unique(group, return_inverse=True)
    size = np.bincount(member)
    n_malignant = np.bincount(member[malignant], minlength=len(size))
    return float(np.maximum(n_malignant, size - n_malignant).sum() / len(malignant))


def best_accuracy_given(
    test: ImageSet, dev: ImageSet, test_group: NDArray[np.int64], dev_group: NDArray[np.int64]
) -> float:
    """Return the accuracy on test of whoever is right but where near-duplicates in dev contradict.

    A test image counts as wrong when most dev images of its group carry the other label.
    """
    n_groups = int(max(test_group.max(), dev_group.max())) + 1
    malignant = np.bincount(dev_group[dev.malignant], minlength=n_groups)[test_group]
    benign = np.bincount(dev_group[~dev.malignant], minlength=n_groups)[test_group]
    wrong = np.where(test.malignant, benign > malignant, malignant > benign)
    return float(1 - wrong.mean())


def describe(prepared: PreparedImages) -> dict[str, Any]:
    """Count images, classes, near-duplicates and patients: the content of metrics/data.json."""
    images, duplicates = prepared.images, prepared.duplicates
    dev, test, is_test = prepared.dev, prepared.test, images.split == "test"
    split, malignant, group = images.split, images.malignant, duplicates.group
    first, second = duplicates.pairs.T
    across, conflict = split[first] != split[second], malignant[first] != malignant[second]
    counts: dict[str, Any] = {
        "images": {name: int((split == name).sum()) for name in SPLITS},
        "malignant": {name: int(malignant[split == name].sum()) for name in SPLITS},
        "near_duplicates": {
            "pairs": len(duplicates.pairs),
            "cross_split_pairs": int(across.sum()),
            "conflicting_pairs": int(conflict.sum()),
            "conflicting_cross_split_pairs": int((conflict & across).sum()),
            "groups": int(group.max()) + 1,
            "leaked_test_images": int(test.leaked.sum()),
            "leak_free_test_images": int((~test.leaked).sum()),
            "leak_free_test_malignant": int(test.malignant[~test.leaked].sum()),
        },
        "groups": int(images.group.max()) + 1,
        "best_accuracy": {
            "all": best_accuracy(malignant, group),
            "test": best_accuracy(test.malignant, group[is_test]),
            "test_given_dev": best_accuracy_given(test, dev, group[is_test], group[~is_test]),
        },
    }
    if (images.patient != "").any():
        counts["patients"] = count_patients(images)
    if len(prepared.also_train) or prepared.n_left_out:
        counts["also_train"] = {
            "images": len(prepared.also_train),
            "malignant": int(prepared.also_train.malignant.sum()),
            "near_duplicates_left_out": prepared.n_left_out,
        }
    return counts


def count_patients(images: ImageSet) -> dict[str, int]:
    """Count patients, those with images of both classes, and those in two splits."""
    known = images.patient != ""
    patients, member = np.unique(images.patient[known], return_inverse=True)

    def n_mixed(values: NDArray[Any]) -> int:
        pairs = np.unique(np.stack([member, np.unique(values, return_inverse=True)[1]]), axis=1)
        return int((np.bincount(pairs[0]) > 1).sum())

    return {
        "patients": len(patients),
        "images_without_patient": int((~known).sum()),
        "with_both_labels": n_mixed(images.malignant[known]),
        "in_two_splits": n_mixed(images.split[known]),
    }


def notes(counts: dict[str, Any], n_test: int) -> list[str]:
    """Return lines on the counts of `describe` for the terminal."""
    pairs, lines = counts["near_duplicates"], []
    lines.append(
        f"{pairs['pairs']} near-duplicate pairs, {pairs['cross_split_pairs']} across splits; "
        f"{pairs['leaked_test_images']} of {n_test} test images have a near-duplicate or their "
        "patient in train or val"
    )
    if patients := counts.get("patients"):
        lines.append(
            f"{patients['patients']} patients: {patients['with_both_labels']} with images of both "
            f"classes, {patients['in_two_splits']} in two splits"
        )
    if also := counts.get("also_train"):
        lines.append(
            f"{also['images']} more images to learn from; {also['near_duplicates_left_out']} left "
            "out, near-duplicates of images here"
        )
    return lines
