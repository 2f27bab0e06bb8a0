"""How often intervals of scores cover the true value: the reason for those in use.

    python -m benchmarks.intervals

Scores are drawn from two normal distributions, in groups that share a part of each score, as
near-duplicates and images of one patient do. What a sample of each size says is compared with what
is true by construction. Prints the table of docs/benchmarks.md; minutes of one core.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from breast_ultrasound.evaluation.intervals import auc_interval, share_interval
from breast_ultrasound.ranking import auc

CONFIDENCE = 0.95
SHARED = 0.6  # of the variance of a score, among the images of a group
SETS = {  # images, of which malignant, images of a group, true AUC
    "official test": (156, 42, 1.15, 0.92),
    "leak-free test": (91, 30, 1.05, 0.92),
    "another hospital, by patient": (470, 150, 1.8, 0.75),
    "a small subgroup": (40, 12, 1.8, 0.75),
}


@dataclass(frozen=True)
class Sample:
    """N images of a made-up set: truth, score, group."""

    malignant: NDArray[np.bool_]
    score: NDArray[np.float64]
    group: NDArray[np.int64]


def draw(name: str, rng: np.random.Generator) -> Sample:
    """Return a sample of a set; the images of a group are of one class."""
    n_images, n_malignant, size, area = SETS[name]
    malignant = np.arange(n_images) < n_malignant
    group = np.zeros(n_images, dtype=np.int64)
    for of_class, offset in ((malignant, 0), (~malignant, n_images)):
        n_groups = max(2, round(of_class.sum() / size))
        group[of_class] = offset + rng.permutation(np.arange(of_class.sum()) % n_groups)
    shared = rng.normal(size=2 * n_images)[group]
    own = rng.normal(size=n_images)
    apart = ndtri(area) * np.sqrt(2)
    score = np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * own + apart * malignant
    return Sample(malignant, score, group)


def resample(sample: Sample, rng: np.random.Generator, n_draws: int) -> Iterator[NDArray[np.int64]]:
    """Yield the images of resamples of whole groups that hold both classes."""
    members = [np.nonzero(sample.group == g)[0] for g in np.unique(sample.group)]
    n_yielded = 0
    while n_yielded < n_draws:
        drawn = rng.integers(len(members), size=len(members))
        images = np.concatenate([members[i] for i in drawn])
        if len(np.unique(sample.malignant[images])) == 2:
            n_yielded += 1
            yield images


def percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of a percentile interval."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def bias_corrected(
    sample: Sample, value: float, values: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the ends of a BCa interval of an AUC over groups (Efron 1987)."""
    left_out = []
    for g in np.unique(sample.group):
        kept = sample.group != g
        left_out.append(auc(sample.malignant[kept], sample.score[kept]))
    gap = np.mean(left_out) - np.array(left_out)
    acceleration = (gap**3).sum() / (6 * ((gap**2).sum() ** 1.5) or 1)
    below = ((values < value).mean() + (values <= value).mean()) / 2
    bias = ndtri(np.clip(below, 1e-3, 1 - 1e-3))
    ends = []
    for z in ndtri([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]):
        ends.append(ndtr(bias + (bias + z) / (1 - acceleration * (bias + z))))
    low, high = np.quantile(values, ends)
    return float(low), float(high)


def measure(name: str, n_samples: int, n_draws: int, seed: int) -> Iterator[tuple[str, str, float]]:
    """Yield score, method and share of intervals that cover, for a set."""
    rng = np.random.default_rng(seed)
    area = SETS[name][3]
    cut = ndtri(area) * np.sqrt(2) / 2  # midway: sensitivity and specificity are equal
    right = float(ndtr(cut))
    covered: dict[tuple[str, str], list[bool]] = {}

    def note(score: str, method: str, ends: tuple[float, float], truth: float) -> None:
        covered.setdefault((score, method), []).append(ends[0] <= truth <= ends[1])

    for _ in range(n_samples):
        sample = draw(name, rng)
        truth, score, group = sample.malignant, sample.score, sample.group
        hit = (score > cut) == truth
        draws = list(resample(sample, rng, n_draws))
        areas = np.array([auc(truth[images], score[images]) for images in draws])
        delong = auc_interval(truth, score, group, CONFIDENCE)
        note("AUC", "DeLong over groups, logit scale", delong, area)
        corrected = bias_corrected(sample, auc(truth, score), areas)
        note("AUC", "BCa over groups", corrected, area)
        note("AUC", "percentiles over groups", percentiles(areas), area)
        for words, of in (("accuracy", np.ones_like(truth)), ("sensitivity", truth)):
            shares = np.array([hit[images][of[images]].mean() for images in draws])
            wilson = share_interval(hit[of], group[of], CONFIDENCE)
            note(words, "Wilson, design effect", wilson, right)
            note(words, "percentiles over groups", percentiles(shares), right)
    for (score_name, method), values in covered.items():
        yield score_name, method, float(np.mean(values))


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000, help="of each set")
    parser.add_argument("--draws", type=int, default=300, help="of each bootstrap")
    arguments = parser.parse_args()
    rows: dict[tuple[str, str], list[float]] = {}
    for seed, name in enumerate(SETS):
        for score, method, share in measure(name, arguments.samples, arguments.draws, seed):
            rows.setdefault((score, method), []).append(share)
    print(f"| score | interval | {' | '.join(SETS)} |\n| --- | --- {'| --- ' * len(SETS)}|")
    for (score, method), shares in rows.items():
        print(f"| {score} | {method} | {' | '.join(f'{share:.3f}' for share in shares)} |")


if __name__ == "__main__":
    main()
