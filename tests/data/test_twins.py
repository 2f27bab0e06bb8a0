from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data import twins as twins_module
from breast_ultrasound.data.dataset import SPLITS, ImageSet, read_official
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.data.source import FILE_NAME
from breast_ultrasound.data.twins import best_correlation, describe, dev_and_test, find_twins
from breast_ultrasound.files import write_arrays
from tests.workspace import ROOT

REAL = ROOT.parent / "shared" / "data" / FILE_NAME


def test_pairs_are_those_that_numpy_correlates(rng: np.random.Generator) -> None:
    base = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    noisy = np.clip(base + rng.normal(0, 40, base.shape), 0, 255).astype(np.uint8)
    images = np.concatenate([base, noisy, base[:2, :, ::-1]])
    twins = find_twins(images, 0.8)
    expected = set()
    for i in range(len(images)):
        for j in range(i + 1, len(images)):
            mirror = images[j, :, ::-1].ravel()
            both = (np.corrcoef(images[i].ravel(), x)[0, 1] for x in (images[j].ravel(), mirror))
            if max(both) >= 0.8:
                expected.add((i, j))
    assert {tuple(pair) for pair in twins.pairs.tolist()} == expected
    assert (twins.correlation >= 0.8).all()
    assert {tuple(p) for p in twins.pairs[twins.mirrored].tolist()} >= {(0, 12), (1, 13)}


def test_blocks_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    base = rng.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    images = np.concatenate([base, base[::2, :, ::-1], base[::3]])[rng.permutation(55)]
    whole = find_twins(images, 0.9)
    for block in (1, 7, 54, 55):
        monkeypatch.setattr(twins_module, "BLOCK", block)
        parts = find_twins(images, 0.9)
        for name, array in vars(whole).items():
            np.testing.assert_allclose(array, getattr(parts, name), atol=1e-12)


def test_a_pair_at_the_threshold_counts(rng: np.random.Generator) -> None:
    """Decided in double precision, whatever the search saw."""
    base = rng.integers(0, 256, (28, 28)).astype(float)
    images = np.stack([base, np.clip(base + rng.normal(0, 60, base.shape), 0, 255)])
    images = images.astype(np.uint8)
    exact = best_correlation(images[:1], images[1:])[0].item()
    assert len(find_twins(images, exact - 1e-9).pairs) == 1
    assert len(find_twins(images, exact + 1e-9).pairs) == 0


def test_groups_are_connected_components(rng: np.random.Generator) -> None:
    """A resembles B and B resembles C: one group, though A does not resemble C."""
    a, c, alone = rng.normal(128, 30, (3, 28, 28))
    images = np.stack([a, (a + c) / 2, c, alone]).astype(np.uint8)
    twins = find_twins(images, 0.6)
    assert twins.pairs.tolist() == [[0, 1], [1, 2]]
    assert twins.group.tolist() == [0, 0, 0, 1]


def test_gain_and_offset_do_not_hide_a_twin(rng: np.random.Generator) -> None:
    image = rng.integers(50, 150, (28, 28)).astype(np.uint8)
    twins = find_twins(np.stack([image, (image * 0.5 + 60).astype(np.uint8)]), 0.95)
    assert len(twins.pairs) == 1


def test_an_image_of_one_grey_has_no_twin() -> None:
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    images[1:] = 7
    assert len(find_twins(images, 0.95).pairs) == 0


def test_leaked_is_symmetric_across_the_border(dev_test: tuple[ImageSet, ImageSet]) -> None:
    dev, test = dev_test
    assert set(np.unique(dev.split)) == {0, 1}
    assert set(np.unique(test.split)) == {2}
    assert set(dev.group[dev.leaked]) <= set(test.group)
    assert set(test.group[test.leaked]) <= set(dev.group)
    assert not set(test.group[~test.leaked]) & set(dev.group[dev.leaked]) or test.leaked.any()


def test_planted_twins_are_found_and_nothing_else(tmp_path: Path) -> None:
    n_images = 300
    write_arrays(tmp_path / "a.npz", make_phantoms(n_images, seed=3))
    images, malignant, split = read_official(tmp_path / "a.npz")
    twins = find_twins(images, 0.95)
    assert len(twins.pairs) == 0.1 * n_images  # as planted
    assert twins.mirrored.sum() == 4  # every eighth of 30
    conflicts = describe(malignant, split, twins, dev_and_test(images, malignant, split, twins)[1])
    assert conflicts["twins"]["conflicting_pairs"] == 3  # a tenth of 30


@pytest.mark.skipif(not REAL.exists(), reason="the official file is not there")
def test_the_official_file_leaks_as_measured() -> None:
    images, malignant, split = read_official(REAL)
    twins = find_twins(images, 0.95)
    _, test = dev_and_test(images, malignant, split, twins)
    counts = describe(malignant, split, twins, test)
    assert counts["images"] == dict(zip(SPLITS, (546, 78, 156), strict=True))
    assert counts["malignant"] == dict(zip(SPLITS, (147, 21, 42), strict=True))
    assert counts["twins"] == {
        "pairs": 238,
        "cross_split_pairs": 128,
        "conflicting_pairs": 10,
        "conflicting_cross_split_pairs": 8,
        "groups": 593,
        "leaked_test_images": 63,
        "leak_free_test_images": 93,
        "leak_free_test_malignant": 32,
    }
