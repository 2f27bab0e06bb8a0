"""What near-duplicates do to scores on test images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.near_duplicates import THRESHOLDS, best_correlation
from breast_ultrasound.evaluation import figures
from breast_ultrasound.evaluation.metrics import headline_scores
from breast_ultrasound.evaluation.model_scores import HEADLINES, compare, has_both
from breast_ultrasound.files import write_csv
from breast_ultrasound.model.classifier import Predictions
from breast_ultrasound.params import EvaluateParams

# What each model learned from is in `search/leakage.py`.
CONTRASTS = (("final", "retrained"), ("size_matched_control", "retrained"))


def nearest_neighbour(test: ImageSet, dev: ImageSet) -> Predictions:
    """Predict by memory alone: each image gets the label of the most similar dev image."""
    nearest = best_correlation(test.thumbnails, dev.thumbnails).argmax(axis=1)
    copied = dev.malignant[nearest].astype(np.float64)
    return Predictions(copied, copied[None])


def effects_on_test(
    models: Mapping[str, Predictions], test: ImageSet, interval: EvaluateParams, seed: int
) -> dict[str, Any]:
    """Return the headline scores of each model on each subset of test, and their differences.

    `<model>.<subset>.<score>`, `<one>_minus_<other>.<subset>.<score>` for `CONTRASTS`, and
    `leaked_minus_leak_free.<model>.<score>`, each with the ends of its interval.
    """
    return compare(models, test, CONTRASTS, headline_scores, interval, seed)


def cut_rows(
    models: Mapping[str, Predictions], test: ImageSet, dev: ImageSet
) -> tuple[list[str], list[list[Any]]]:
    """Return how leak-free scores depend on the near-duplicate cut: names, then rows."""
    nearest: NDArray[np.float64] = best_correlation(test.thumbnails, dev.thumbnails).max(axis=1)
    columns = [f"{model}_{score}" for model in models for score in HEADLINES]
    rows: list[list[Any]] = []
    for cut in THRESHOLDS:
        clean = nearest < cut
        if has_both(test.malignant[clean]):
            scored = [
                headline_scores(test.malignant[clean], model.probability[clean])
                for model in models.values()
            ]
            values = [row[name] for row in scored for name in HEADLINES]
            rows.append([cut, int(clean.sum()), int(test.malignant[clean].sum()), *values])
    return ["near_duplicate_correlation", "leak_free_images", "leak_free_malignant", *columns], rows


def write_plots(
    models: Mapping[str, Predictions],
    effects: Mapping[str, Any],
    test: ImageSet,
    dev: ImageSet,
    folder: Path,
) -> None:
    """Write the table of cuts, of the models given, and the figure of the effects."""
    write_csv(folder / "cuts.csv", *cut_rows(models, test, dev))
    figures.leakage(effects, folder / "leakage.png")
