"""Curves and counts of the predictions on test as CSV, which DVC overlays across revisions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.evaluation.metrics import calibration_bins
from breast_ultrasound.files import write_csv
from breast_ultrasound.model.classifier import Predictions

HISTOGRAM_BINS = 20


def write_curves(
    models: Mapping[str, Predictions], malignant: NDArray[np.bool_], folder: Path
) -> None:
    """Write ROC, precision–recall, calibration, risk, histogram and confusion of each model.

    Args:
        malignant: (N,) bool, the truth about the images.
        folder: gets a file `<kind>_<model>.csv` each.
    """
    for name, model in models.items():
        _write_roc(malignant, model.probability, folder / f"roc_{name}.csv")
        _write_precision_recall(malignant, model.probability, folder / f"pr_{name}.csv")
        bins = calibration_bins(malignant, model.probability)
        columns = ("probability", "share_malignant", "n_images")
        write_csv(folder / f"calibration_{name}.csv", columns, bins)
        write_risk_coverage(malignant, model.probability, folder / f"risk_coverage_{name}.csv")
        _write_histogram(malignant, model.probability, folder / f"histogram_{name}.csv")
        words = np.array(["benign", "malignant"])
        predicted = (model.probability >= 0.5).astype(int)
        rows = zip(words[malignant.astype(int)], words[predicted], strict=True)
        write_csv(folder / f"confusion_{name}.csv", ("actual", "predicted"), rows)


def _write_roc(malignant: NDArray[np.bool_], probability: NDArray[np.float64], path: Path) -> None:
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(malignant, probability)
    rows = zip(false_positive.tolist(), true_positive.tolist(), strict=True)
    write_csv(path, ("false_positive_rate", "true_positive_rate"), rows)


def _write_precision_recall(
    malignant: NDArray[np.bool_], probability: NDArray[np.float64], path: Path
) -> None:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(malignant, probability)
    # By rising recall: plots keep the order of rows where recall stays the same.
    rows = zip(recall[::-1].tolist(), precision[::-1].tolist(), strict=True)
    write_csv(path, ("recall", "precision"), rows)


def write_risk_coverage(
    malignant: NDArray[np.bool_], probability: NDArray[np.float64], path: Path
) -> None:
    """Write the share of wrong decisions among the images that are kept, by the share kept.

    The others, whose probability is nearest to ½, are referred to a reader (El-Yaniv and Wiener
    2010, https://jmlr.org/papers/v11/el-yaniv10a.html).
    """
    order = np.argsort(-np.abs(probability - 0.5), kind="stable")
    wrong = ((probability >= 0.5) != malignant)[order]
    kept = np.arange(1, len(order) + 1)
    rows = zip((kept / len(order)).tolist(), (wrong.cumsum() / kept).tolist(), strict=True)
    write_csv(path, ("coverage", "risk"), rows)


def _write_histogram(
    malignant: NDArray[np.bool_], probability: NDArray[np.float64], path: Path
) -> None:
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    counts = [np.histogram(probability[malignant == kind], edges)[0] for kind in (True, False)]
    centres = ((edges[1:] + edges[:-1]) / 2).tolist()
    rows = zip(centres, counts[0].tolist(), counts[1].tolist(), strict=True)
    write_csv(path, ("probability", "malignant", "benign"), rows)
