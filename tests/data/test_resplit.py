import numpy as np
import pytest

from breast_ultrasound.data.resplit import clean_split


def _random_set(rng: np.random.Generator, n_images: int) -> tuple[np.ndarray, ...]:
    label = rng.integers(0, 3, n_images)
    group = rng.permutation(np.minimum(np.arange(n_images), rng.integers(0, n_images, n_images)))
    split = rng.choice(3, n_images, p=[0.7, 0.1, 0.2])
    return label, group, split


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_parted_and_sizes_are_kept(seed: int) -> None:
    label, group, split = _random_set(np.random.default_rng(seed), 500)
    new = clean_split(label, group, split, seed)
    for g in np.unique(group):
        assert len(np.unique(new[group == g])) == 1
    assert np.array_equal(np.bincount(new), np.bincount(split))
    share = np.bincount(split) / 500
    for kind in range(3):
        counts = np.bincount(new[label == kind], minlength=3)
        assert np.abs(counts - share * (label == kind).sum()).max() < 2


def test_names_and_types_of_splits_and_labels_do_not_matter(rng: np.random.Generator) -> None:
    """The pipeline has numbers where a file has words: both must give the same splits."""
    label, group, _ = _random_set(rng, 300)
    split = np.repeat([0, 1, 2], [200, 40, 60])
    new = clean_split(label > 0, group, split, seed=4)
    words = np.array(["train", "val", "test"])
    turned = np.where(label > 0, "0", "1")  # as medmnist has malignant
    assert np.array_equal(clean_split(turned, group, words[split], seed=4), words[new])


@pytest.mark.parametrize("seed", range(5))
def test_a_group_too_large_for_any_split_is_no_error(seed: int) -> None:
    label = (np.arange(60) >= 35).astype(int)
    group = np.maximum(np.arange(60) - 49, 0)  # one of 50 images: 35 of one class, 15 of the other
    split = np.repeat([0, 1, 2], [40, 10, 10])
    new = clean_split(label, group, split, seed)
    assert len(set(new[:50])) == 1
    assert set(new) == {0, 1, 2}


def test_a_group_too_large_for_its_share_stays_whole() -> None:
    group = np.array([0] * 8 + [1, 2])
    split = np.array([0] * 5 + [1] * 5)
    new = clean_split(np.zeros(10), group, split, seed=0)
    assert len(set(new[:8])) == 1
    assert set(new[8:]) == {1 - new[0]}
