import numpy as np
import pytest
from scipy.stats import binomtest

from breast_ultrasound.evaluation.intervals import auc_and_variance, auc_interval, share_interval
from breast_ultrasound.ranking import auc


def _sample(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    malignant = np.arange(n) < n // 3
    return malignant, (rng.normal(size=n) + 1.2 * malignant).round(1)  # with ties


def _delong(malignant: np.ndarray, score: np.ndarray) -> float:
    """Return DeLong's variance (1988) by its definition."""
    x, y = score[malignant], score[~malignant]
    wins = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    return float(wins.mean(axis=1).var(ddof=1) / len(x) + wins.mean(axis=0).var(ddof=1) / len(y))


@pytest.mark.parametrize("seed", range(3))
def test_of_single_images_the_variance_is_delongs(seed: int) -> None:
    malignant, score = _sample(seed)
    area, variance = auc_and_variance(malignant, score, np.arange(60))
    assert area == pytest.approx(auc(malignant, score))
    # The groups of both classes are counted together, so the factors differ a little.
    assert variance == pytest.approx(_delong(malignant, score), rel=1e-9)


def test_copies_of_images_are_no_more_evidence() -> None:
    malignant, score = _sample(0)
    once = auc_interval(malignant, score, np.arange(60), 0.95)
    four = [np.repeat(values, 4) for values in (malignant, score, np.arange(60))]
    assert auc_interval(*four, 0.95) == pytest.approx(once, abs=1e-9)
    naive = auc_interval(four[0], four[1], np.arange(240), 0.95)
    assert naive[1] - naive[0] < 0.6 * (once[1] - once[0])


def test_a_perfect_ranking_is_not_certain() -> None:
    malignant = np.arange(30) < 10
    low, high = auc_interval(malignant, malignant.astype(float), np.arange(30), 0.95)
    assert 0.7 < low < high <= 1
    mirrored = auc_interval(malignant, 1 - malignant.astype(float), np.arange(30), 0.95)
    assert mirrored == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("hits", [0, 1, 17, 40])
def test_of_single_images_the_share_is_wilsons(hits: int) -> None:
    hit = np.arange(40) < hits
    ours = share_interval(hit, np.arange(40), 0.95)
    theirs = binomtest(hits, 40).proportion_ci(0.95, "wilson")
    assert ours[0] <= theirs.low + 1e-9
    assert ours[1] >= theirs.high - 1e-9
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_a_share_of_copies_is_wider() -> None:
    hit, group = np.repeat(np.arange(20) < 14, 5), np.repeat(np.arange(20), 5)
    theirs = binomtest(14, 20).proportion_ci(0.95, "wilson")
    assert share_interval(hit, group, 0.95) == pytest.approx((theirs.low, theirs.high), abs=0.02)
