import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from breast_ultrasound.data import near_duplicates as module
from breast_ultrasound.data.near_duplicates import (
    SINGLE_PRECISION,
    _sketch,
    best_correlation,
    find_near_duplicates,
    least_alike,
    nearest,
    standardise,
)
from breast_ultrasound.data.phantom import make_phantoms


def correlate(one: np.ndarray, other: np.ndarray) -> float:
    """Return the best of numpy's correlations over the places that both images cover."""
    best = -1.0
    for turned in (other, other[:, ::-1]):
        padded = np.full((30, 30), np.nan)
        padded[1:-1, 1:-1] = turned
        for down in range(3):
            for right in range(3):
                moved = padded[down : down + 28, right : right + 28].ravel()
                both = ~np.isnan(moved)
                best = max(best, np.corrcoef(one.ravel()[both], moved[both])[0, 1])
    return best


def test_pairs_are_those_that_numpy_correlates(rng: np.random.Generator) -> None:
    base = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    noisy = np.clip(base + rng.normal(0, 40, base.shape), 0, 255).astype(np.uint8)
    shifted = np.roll(base[3:], (1, -1), axis=(1, 2))
    images = np.concatenate([base, noisy, base[:2, :, ::-1], shifted])
    duplicates = find_near_duplicates(images, 0.8)
    n_images = len(images)
    exact = np.array(
        [[correlate(images[i], images[j]) for j in range(n_images)] for i in range(n_images)]
    )
    np.testing.assert_allclose(best_correlation(images, images), exact, atol=1e-12)
    expected = {
        (i, j) for i in range(n_images) for j in range(i + 1, n_images) if exact[i, j] >= 0.8
    }
    assert {tuple(pair) for pair in duplicates.pairs.tolist()} == expected
    assert expected >= {(0, 6), (0, 12), (3, 14), (9, 14)}
    np.testing.assert_allclose(duplicates.correlation, exact[tuple(duplicates.pairs.T)], atol=1e-12)
    assert {tuple(p) for p in duplicates.pairs[duplicates.mirrored].tolist()} >= {(0, 12), (1, 13)}


@pytest.mark.parametrize("smooth", [0.0, 1.0, 5.0])
def test_no_correlation_exceeds_its_sketch(rng: np.random.Generator, smooth: float) -> None:
    """The search may look too often, never too seldom."""
    images = gaussian_filter(rng.normal(128, 40, (40, 28, 28)), (0, smooth, smooth))
    images = np.concatenate([images, 255 - images, images + rng.normal(0, 3, images.shape)])
    images = images.clip(0, 255).astype(np.uint8)
    pixels = standardise(images)
    sketch = _sketch(pixels.reshape(images.shape))
    assert (sketch @ sketch.T >= pixels @ pixels.T - SINGLE_PRECISION).all()


def test_a_copy_shifted_by_a_pixel_is_a_copy(rng: np.random.Generator) -> None:
    scene = rng.integers(0, 256, (1, 30, 30), dtype=np.uint8)
    for down in range(3):
        for right in range(3):
            for step in (1, -1):
                image = scene[:, down : down + 28, right : right + 28][:, :, ::step]
                correlation = best_correlation(scene[:, 1:29, 1:29], image)
                np.testing.assert_allclose(correlation, 1.0)


def test_blocks_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    base = rng.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    shifted = np.roll(base[::3], (1, -1), axis=(1, 2))
    images = np.concatenate([base, base[::2, :, ::-1], base[::3], shifted])[rng.permutation(65)]
    whole = find_near_duplicates(images, 0.9)
    assert len(whole.pairs) >= 35
    for block in (1, 7, 64, 65):
        for many in (0, 16):  # pairs per image that are looked at one by one
            monkeypatch.setattr(module, "BLOCK", block)
            monkeypatch.setattr(module, "MANY", many)
            parts = find_near_duplicates(images, 0.9)
            for name, array in vars(whole).items():
                np.testing.assert_allclose(array, getattr(parts, name), atol=1e-12)


def test_a_pair_at_the_threshold_counts(rng: np.random.Generator) -> None:
    """Decided in double precision, whatever the search saw."""
    base = rng.integers(0, 256, (28, 28)).astype(float)
    images = np.stack([base, np.clip(base + rng.normal(0, 60, base.shape), 0, 255)])
    images = images.astype(np.uint8)
    exact = best_correlation(images[:1], images[1:]).item()
    assert len(find_near_duplicates(images, exact - 1e-9).pairs) == 1
    assert len(find_near_duplicates(images, exact + 1e-9).pairs) == 0


def test_groups_are_connected_components(rng: np.random.Generator) -> None:
    """A resembles B and B resembles C: one group, though A does not resemble C."""
    a, c, alone = rng.normal(128, 30, (3, 28, 28))
    images = np.stack([a, (a + c) / 2, c, alone]).astype(np.uint8)
    duplicates = find_near_duplicates(images, 0.6)
    assert duplicates.pairs.tolist() == [[0, 1], [1, 2]]
    assert duplicates.group.tolist() == [0, 0, 0, 1]


def test_gain_and_offset_do_not_hide_a_near_duplicate(rng: np.random.Generator) -> None:
    image = rng.integers(50, 150, (28, 28)).astype(np.uint8)
    duplicates = find_near_duplicates(np.stack([image, (image * 0.5 + 60).astype(np.uint8)]), 0.95)
    assert len(duplicates.pairs) == 1


def test_images_of_one_grey_are_near_duplicates_of_those_of_the_same(
    rng: np.random.Generator,
) -> None:
    images = rng.integers(0, 255, (6, 28, 28), dtype=np.uint8)
    images[[0, 4]], images[[1, 2, 5]] = 0, 7
    duplicates = find_near_duplicates(images, 0.95)
    assert duplicates.pairs.tolist() == [[0, 4], [1, 2], [1, 5], [2, 5]]
    assert (duplicates.correlation == 1).all()
    assert duplicates.group.tolist() == [0, 1, 1, 2, 0, 1]


@pytest.mark.parametrize("correlation", [0.9, 0.95, 1.0])
def test_the_nearest_is_the_one_of_highest_correlation(
    correlation: float, rng: np.random.Generator
) -> None:
    others = make_phantoms(60, seed=3)["train_images"]
    noise = rng.normal(0, 6, others[:20].shape)
    images = np.concatenate([others[5:9], np.clip(others[:20] + noise, 0, 255).astype(np.uint8)])
    exact = best_correlation(images, others)
    expected = [int(row.argmax()) if row.max() >= correlation else None for row in exact]
    highest, found = nearest(images, others, correlation)
    assert found == expected
    np.testing.assert_allclose(highest, exact.max(axis=1), atol=1e-4)


def test_one_in_twenty_images_of_a_set_is_unlike_it(rng: np.random.Generator) -> None:
    images = make_phantoms(300, seed=1)["train_images"]
    least = least_alike(images, 0.95)
    alike = best_correlation(images, images)
    alike[alike >= 0.95] = -1
    assert (alike.max(axis=1) < least).mean() == pytest.approx(0.05, abs=0.01)
    noise = rng.integers(0, 256, (20, 28, 28), dtype=np.uint8)
    assert (nearest(noise, images, 0.95)[0] < least).all()
