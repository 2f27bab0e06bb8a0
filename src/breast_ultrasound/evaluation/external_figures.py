"""Figures of what a model is worth on labelled images of any origin."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from breast_ultrasound.evaluation.external import ScoredImages, loess, net_benefit
from breast_ultrasound.evaluation.figures import (
    BASELINE_COLOUR,
    BENIGN_COLOUR,
    FINAL_COLOUR,
    MALIGNANT_COLOUR,
    draw_intervals,
    open_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THRESHOLDS = np.linspace(0.02, 0.30, 57)  # where a biopsy is decided on


def forest(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the AUC of each row of `score_rows` on its interval, by what it was scored on."""
    places = list(dict.fromkeys(row["scored_on"] for row in rows))
    palette = (FINAL_COLOUR, MALIGNANT_COLOUR, BENIGN_COLOUR, BASELINE_COLOUR)
    colours = {place: palette[i % len(palette)] for i, place in enumerate(places)}
    labelled = [
        (
            f"{row['learned_from']} → {row['scored_on']}, {row['images']} images",
            row,
            colours[row["scored_on"]],
        )
        for row in sorted(rows, key=lambda row: places.index(row["scored_on"]))
    ]
    _draw_forest(labelled, path)


def subgroup_forest(content: Mapping[str, Any], path: Path) -> None:
    """Draw the AUC of all images, of patients, and of each subgroup that has one."""
    named = {"all images": content["per_image"], "all patients": content.get("per_patient", {})}
    labelled = [
        (f"{words}, {row['images']}", row, FINAL_COLOUR) for words, row in named.items() if row
    ]
    for column, rows in content["subgroups"].items():
        labelled += [
            (f"{column}: {value}, {row['images']} images", row, BENIGN_COLOUR)
            for value, row in rows.items()
            if "auc" in row
        ]
    _draw_forest(labelled, path)


def _draw_forest(rows: Sequence[tuple[str, Any, str]], path: Path) -> None:
    with open_figure(path, figsize=(8, 0.9 + 0.42 * len(rows))) as figure:
        axes = figure.subplots()
        draw_intervals(axes, rows, "auc")
        axes.axvline(0.5, color="black", lw=0.8, ls="--")
        axes.set_xlabel("AUC, with its interval over patients and near-duplicates")


def curves(scored: ScoredImages, recalibrated: ScoredImages | None, path: Path) -> None:
    """Draw ROC, calibration with loess, and decision curve side by side."""
    versions = [("model", scored, FINAL_COLOUR)]
    if recalibrated is not None:
        versions.append(("recalibrated", recalibrated, BENIGN_COLOUR))
    with open_figure(path, figsize=(12, 4)) as figure:
        roc, calibration, decision = figure.subplots(1, 3)
        _draw_roc(roc, scored)
        for words, version, colour in versions:
            _draw_calibration(calibration, version, words, colour)
            benefit = net_benefit(version.images.malignant, version.probability, THRESHOLDS)
            decision.plot(THRESHOLDS, benefit, color=colour, label=words)
        truth = scored.images.malignant
        everybody = net_benefit(truth, np.ones(len(truth)), THRESHOLDS)
        decision.plot(THRESHOLDS, everybody, color="black", lw=0.8, ls="--", label="all malignant")
        decision.axhline(0, color="black", lw=0.8, label="none malignant")
        decision.set_xlabel("threshold probability")
        decision.set_ylabel("net benefit")
        decision.legend(frameon=False, fontsize=8)
        calibration.plot([0, 1], [0, 1], color="black", lw=0.8, ls="--")
        calibration.set_xlabel("probability of malignant")
        calibration.set_ylabel("share of malignant (loess)")
        calibration.legend(frameon=False, fontsize=8)
        for axes in (roc, calibration, decision):
            axes.spines[["top", "right"]].set_visible(False)


def _draw_roc(axes: "Axes", scored: ScoredImages) -> None:
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(scored.images.malignant, scored.probability)
    axes.plot(false_positive, true_positive, color=FINAL_COLOUR)
    axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls="--")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")


def _draw_calibration(axes: "Axes", scored: ScoredImages, words: str, colour: str) -> None:
    probability, truth = scored.probability, scored.images.malignant.astype(np.float64)
    low, high = np.quantile(probability, [0.01, 0.99])
    places = np.linspace(low, high, 60)
    axes.plot(places, np.clip(loess(probability, truth, places), 0, 1), color=colour, label=words)
    weights, edges = np.full(len(truth), 0.5 / len(truth)), np.linspace(0, 1, 41).tolist()
    axes.hist(probability, edges, weights=weights, color=colour, alpha=0.3)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
