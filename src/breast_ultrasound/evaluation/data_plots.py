"""The plots of the data: what the images look like, and tables on near-duplicates."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.correlation_tables import band_rows, best_match, threshold_rows
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.near_duplicates import NearDuplicates
from breast_ultrasound.evaluation import figures
from breast_ultrasound.files import write_csv

MAX_CORRELATED = 2_000  # images


def write_data_plots(
    images: ImageSet,
    duplicates: NearDuplicates,
    cut: float,
    seed: int,
    show_images: bool,
    folder: Path,
) -> None:
    """Write every figure and table of plots/data.

    Args:
        cut: the correlation from which images count as near-duplicates.
        seed: chooses the images shown, and of many those that are correlated with each other.
        show_images: False leaves the figures empty that would show some.
    """
    sample = images.subset(_sample(len(images), seed))
    bands = band_rows(sample.thumbnails, sample.malignant)
    write_csv(folder / "bands.csv", *bands)
    write_csv(folder / "thresholds.csv", *threshold_rows(sample))
    figures.correlations(best_match(sample.thumbnails), bands[1], cut, folder / "correlations.png")
    figures.group_sizes(duplicates.group, images.split, folder / "group_sizes.png")
    figures.class_balance(images.malignant, images.split, folder / "class_balance.png")
    if not show_images:
        for name in ("samples", "near_duplicates", "conflicts"):
            figures.not_shown("data.show_images is false", folder / f"{name}.png")
        return
    figures.sample_images(images.images, images.malignant, folder / "samples.png", seed)
    labels = np.where(images.malignant, "malignant", "benign")
    shown = images.images, images.split, labels, duplicates
    figures.near_duplicate_pairs(*shown, folder / "near_duplicates.png")
    figures.conflicts(*shown, folder / "conflicts.png")


def _sample(n_images: int, seed: int) -> NDArray[np.int64]:
    """Return the images to correlate with each other, which takes memory with their square."""
    if n_images <= MAX_CORRELATED:
        return np.arange(n_images)
    return np.sort(np.random.default_rng(seed).permutation(n_images)[:MAX_CORRELATED])
