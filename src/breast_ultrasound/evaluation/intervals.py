"""Intervals of scores where images come in groups, which a simulation showed to cover.

`python -m benchmarks.intervals` compares them with percentiles of a bootstrap over groups; its
table is in docs/benchmarks.md.
"""

import math

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]


def auc_interval(
    malignant: NDArray[np.bool_],
    score: NDArray[np.floating],
    group: NDArray[np.int64],
    confidence: float,
) -> Interval:
    """Return the interval of an AUC: DeLong's variance over groups, on the logit scale.

    The variance is that of clustered data (Obuchowski 1997, https://doi.org/10.2307/2533958);
    where every group is one image it is DeLong's. Where it is 0, as of scores that separate the
    classes, the interval is Wilson's of as many images as the rarer class has groups.

    Args:
        malignant: (N,) bool, both classes present.
        score: (N,), higher for malignant.
        group: (N,) int64, images that are not independent.
        confidence: 0.95 gives a 95 % interval.
    """
    area, variance = auc_and_variance(malignant, score, group)
    if variance <= 0:
        n_fewest = min(len(np.unique(group[of])) for of in (malignant, ~malignant))
        return _wilson(area, n_fewest, _quantile(confidence))
    return _on_logit_scale(area, variance, _quantile(confidence))


def auc_and_variance(
    malignant: NDArray[np.bool_], score: NDArray[np.floating], group: NDArray[np.int64]
) -> tuple[float, float]:
    """Return an AUC and its variance over groups (Obuchowski 1997, section 3)."""
    from scipy.stats import rankdata

    n_malignant = int(malignant.sum())
    n_benign = len(malignant) - n_malignant
    # How many of the other class each image beats, ties by half, as a share.
    ranks = rankdata(score)
    placement = np.empty(len(score))
    placement[malignant] = (ranks[malignant] - rankdata(score[malignant])) / n_benign
    placement[~malignant] = 1 - (ranks[~malignant] - rankdata(score[~malignant])) / n_malignant
    area = float(placement[malignant].mean())
    _, member = np.unique(group, return_inverse=True)
    n_groups = int(member.max()) + 1
    excess = placement - area
    of_malignant = np.bincount(member[malignant], excess[malignant], n_groups)
    of_benign = np.bincount(member[~malignant], excess[~malignant], n_groups)
    variance = (
        _correction(member[malignant]) * (of_malignant**2).sum() / n_malignant**2
        + _correction(member[~malignant]) * (of_benign**2).sum() / n_benign**2
        + 2 * _correction(member) * (of_malignant * of_benign).sum() / (n_malignant * n_benign)
    )
    return area, float(variance)


def _correction(member: NDArray[np.int64]) -> float:
    n_groups = len(np.unique(member))
    return n_groups / (n_groups - 1) if n_groups > 1 else 1.0


def share_interval(hit: NDArray[np.bool_], group: NDArray[np.int64], confidence: float) -> Interval:
    """Return the interval of a share, as of an accuracy: Wilson's, with fewer images for groups.

    The number of images is divided by the design effect, the variance over groups to that of
    independent images, where it is above 1 (Kish 1965; Wilson 1927,
    https://doi.org/10.1080/01621459.1927.10502953).

    Args:
        hit: (N,) bool.
        group: (N,) int64, images that are not independent.
    """
    share, n_images = float(hit.mean()), len(hit)
    _, member = np.unique(group, return_inverse=True)
    sums = np.bincount(member, hit - share)
    independent = share * (1 - share) / n_images
    variance = _correction(member) * float((sums**2).sum()) / n_images**2
    effect = max(1.0, variance / independent) if independent else n_images / len(sums)
    return _wilson(share, n_images / effect, _quantile(confidence))


def _wilson(share: float, n: float, z: float) -> Interval:
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _on_logit_scale(share: float, variance: float, quantile: float) -> Interval:
    if not 0 < share < 1:
        return share, share
    centre = math.log(share / (1 - share))
    half = quantile * math.sqrt(variance) / (share * (1 - share))
    low, high = (1 / (1 + math.exp(-end)) for end in (centre - half, centre + half))
    return low, high


def _quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))
