"""The plots of the data: what the images look like, and tables on near-duplicates."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.correlation_tables import band_rows, best_match, threshold_rows
from breast_ultrasound.data.dataset import SPLITS
from breast_ultrasound.data.near_duplicates import NearDuplicates
from breast_ultrasound.evaluation import figures
from breast_ultrasound.files import write_csv


def write_data_plots(
    images: NDArray[np.uint8],
    malignant: NDArray[np.bool_],
    split: NDArray[np.int64],
    duplicates: NearDuplicates,
    cut: float,
    seed: int,
    folder: Path,
) -> None:
    """Write every figure and table of plots/data.

    Args:
        cut: the correlation from which images count as near-duplicates.
        seed: chooses the images shown.
    """
    bands = band_rows(images, malignant)
    write_csv(folder / "bands.csv", *bands)
    write_csv(folder / "thresholds.csv", *threshold_rows(images, malignant, split))
    figures.correlations(best_match(images), bands[1], cut, folder / "correlations.png")
    figures.group_sizes(duplicates.group, split, folder / "group_sizes.png")
    figures.class_balance(malignant, split, folder / "class_balance.png")
    figures.sample_images(images, malignant, folder / "samples.png", seed)
    names, labels = np.array(SPLITS)[split], np.where(malignant, "malignant", "benign")
    figures.near_duplicate_pairs(images, names, labels, duplicates, folder / "near_duplicates.png")
    figures.conflicts(images, names, labels, duplicates, folder / "conflicts.png")
