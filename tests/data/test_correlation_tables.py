import numpy as np

from breast_ultrasound.data.correlation_tables import BANDS, band_rows, best_match, threshold_rows
from breast_ultrasound.data.image_set import SPLITS, ImageSet
from breast_ultrasound.data.near_duplicates import (
    THRESHOLDS,
    find_near_duplicates,
)


def _set(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sixty images, of which ten copies of growing noise, two of them under another label."""
    base = rng.integers(0, 256, (50, 28, 28)).astype(float)
    noisy = base[:10] + rng.normal(0, 1, (10, 28, 28)) * np.linspace(0, 50, 10)[:, None, None]
    images = np.concatenate([base, noisy]).clip(0, 255).astype(np.uint8)
    malignant = np.arange(60) % 2 == 0
    malignant[[50, 51]] ^= True
    return images, malignant, np.repeat(SPLITS, [40, 10, 10])


def test_bands_hold_every_pair_once(rng: np.random.Generator) -> None:
    images, malignant, _ = _set(rng)
    columns, rows = band_rows(images, malignant)
    assert columns == ["correlation", "pairs", "opposite_labels", "share"]
    assert rows[-1][0] == "any"
    assert rows[-1][1] == 60 * 59 / 2
    assert rows[-1][2] == malignant.sum() * (~malignant).sum()
    assert [float(row[0][:4]) for row in rows[:-1]] == list(BANDS[:-1])
    for low in THRESHOLDS:
        found = sum(row[1] for row in rows[:-1] if float(row[0][:4]) >= low)
        assert found == len(find_near_duplicates(images, low).pairs)


def test_the_best_match_is_another_image(rng: np.random.Generator) -> None:
    images, _, _ = _set(rng)
    best = best_match(images)
    duplicates = find_near_duplicates(images, 0.9)
    assert (best >= 0.9).sum() == len(np.unique(duplicates.pairs))
    assert best.max() <= 1


def test_thresholds_agree_with_a_search_at_each(rng: np.random.Generator) -> None:
    images, malignant, split = _set(rng)
    _, rows = threshold_rows(ImageSet.of(images, malignant, split=split))
    for threshold, n_pairs, across, opposite, n_groups, leaked in rows:
        duplicates = find_near_duplicates(images, threshold)
        first, second = duplicates.pairs.T
        assert n_pairs == len(duplicates.pairs) > 0
        assert across == n_pairs == leaked  # every copy is in test, every original is not
        assert opposite == (malignant[first] != malignant[second]).sum()
        assert n_groups == duplicates.group.max() + 1 == 60 - n_pairs
    assert rows[0][1] > rows[-1][1]
