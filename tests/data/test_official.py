from collections.abc import Callable
from pathlib import Path
from typing import Any

import medmnist
import numpy as np
import pytest

from breast_ultrasound.data.image_set import SPLITS
from breast_ultrasound.data.official import FILE_LABEL_MALIGNANT, read_official
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.files import InputError, write_arrays

Arrays = dict[str, Any]


def _drop_val(arrays: Arrays) -> None:
    del arrays["val_images"]


def _one_class(arrays: Arrays) -> None:
    arrays["val_labels"][:] = 1


def _third_class(arrays: Arrays) -> None:
    arrays["test_labels"][0] = 2


def _flat_labels(arrays: Arrays) -> None:
    arrays["train_labels"] = arrays["train_labels"][:, 0]


def _float_labels(arrays: Arrays) -> None:
    arrays["train_labels"] = arrays["train_labels"].astype(float)


def _fewer_labels(arrays: Arrays) -> None:
    arrays["train_labels"] = arrays["train_labels"][1:]


def _flat_images(arrays: Arrays) -> None:
    arrays["test_images"] = arrays["test_images"][:, 0]


def _larger_images(arrays: Arrays) -> None:
    rng = np.random.default_rng(0)
    arrays["test_images"] = rng.integers(0, 255, (24, 64, 64), dtype=np.uint8)


def _no_images(arrays: Arrays) -> None:
    arrays["test_images"] = arrays["test_images"][:0]


def _float_images(arrays: Arrays) -> None:
    arrays["train_images"] = arrays["train_images"] / 255


def _binary_images(arrays: Arrays) -> None:
    arrays["train_images"] = (arrays["train_images"] > 9).astype(np.uint8)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_drop_val, "expected an array 'val_images', got test_images"),
        (_one_class, r"val_labels: expected labels 0 \(malignant\) and 1 .* both present, got \[1"),
        (_third_class, r"test_labels: .* got \[0, 1, 2\]"),
        (_flat_labels, r"train_labels: expected labels of shape \(N, 1\), got \(\d+,\)"),
        (_float_labels, "train_labels: expected whole numbers, got dtype float64"),
        (_fewer_labels, "train: expected one label per image, got 84 images and 83 labels"),
        (_flat_images, r"test_images: expected images of shape \(N, S, S\), .* got \(24, 28\)"),
        (_larger_images, r"expected images of one size, got 28×28, 28×28, 64×64"),
        (_no_images, r"test_images: .* got \(0, 28, 28\)"),
        (_float_images, "train_images: expected dtype uint8, got float64"),
        (_binary_images, "train_images: expected greys from 0 to 255, got 0 to 1 only"),
    ],
)
def test_a_wrong_file_is_refused(
    tmp_path: Path, spoil: Callable[[Arrays], None], expected: str
) -> None:
    arrays: Arrays = make_phantoms(120, seed=0)
    spoil(arrays)
    write_arrays(tmp_path / "a.npz", arrays)
    with pytest.raises(InputError, match=expected):
        read_official(tmp_path / "a.npz")


def test_malignant_is_the_files_label_0(phantom_file: Path) -> None:
    images = read_official(phantom_file)
    with np.load(phantom_file) as arrays:
        for name in SPLITS:
            expected = arrays[f"{name}_labels"][:, 0] == 0
            assert (expected == images.malignant[images.split == name]).all()
            assert images.name[images.split == name].tolist()[:2] == [f"{name}[0]", f"{name}[1]"]


@pytest.mark.parametrize("n_images", [60, 120, 780])
def test_phantoms_have_the_official_proportions(n_images: int) -> None:
    arrays = make_phantoms(n_images, seed=1)
    sizes = [len(arrays[f"{split}_images"]) for split in ("train", "val", "test")]
    assert sizes == [round(0.7 * n_images), round(0.1 * n_images), round(0.2 * n_images)]
    labels = np.concatenate([arrays[f"{split}_labels"] for split in ("train", "val", "test")])
    assert 0.17 < (labels == 0).mean() < 0.37


def test_phantoms_depend_on_the_seed_alone() -> None:
    first, again, other = (make_phantoms(60, seed) for seed in (5, 5, 6))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["train_images"], other["train_images"])


def test_malignant_is_the_label_that_medmnist_says() -> None:
    words = medmnist.INFO["breastmnist"]["label"]
    assert words == {str(FILE_LABEL_MALIGNANT): "malignant", "1": "normal, benign"}
