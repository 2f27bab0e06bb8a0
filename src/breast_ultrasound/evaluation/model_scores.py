"""Scores of trained models on the test images, and what near-duplicates do to them.

Every interval comes of one bootstrap: each resample scores every model on every part, so that
differences are paired.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.near_duplicates import THRESHOLDS, best_correlation
from breast_ultrasound.evaluation.calibration import Decision
from breast_ultrasound.evaluation.metrics import (
    Scores,
    bootstrap,
    headline_scores,
    mean_and_sd,
    scores,
)
from breast_ultrasound.model.artifact import Ensemble
from breast_ultrasound.model.training import Hardware
from breast_ultrasound.params import EvaluateParams

HEADLINES = ("auc", "accuracy")
REPORTED = ("baseline", "final")  # with every score; other models with the headlines
# Differences of models, on each part of test.
CONTRASTS = (("final", "baseline"), ("final", "retrained"), ("control", "retrained"))


@dataclass(frozen=True)
class Predictions:
    """A model's answers to N images.

    Attributes:
        probability: (N,) float64 of malignant, by the ensemble.
        single: (M, N) float64, by each member alone.
        threshold: at or above it an image is called malignant.
    """

    probability: NDArray[np.float64]
    single: NDArray[np.float64]
    threshold: float

    def scores(
        self, malignant: NDArray[np.bool_], chosen: NDArray[Any], headlines: bool = False
    ) -> Scores:
        """Score the answers to the images `chosen`, a mask or indices, given the truth of all."""
        score = headline_scores if headlines else scores
        return score(malignant[chosen], self.probability[chosen], self.threshold)


def predict_with(model: Ensemble, images: NDArray[np.uint8], hardware: Hardware) -> Predictions:
    """Let a model score images (N, 28, 28), calibrated as its card says."""
    card = model.card
    decision = Decision(card.temperature, card.offset, card.threshold)
    logits = model.predict(images, hardware)
    return Predictions(
        decision.probability(logits.mean(axis=0)), decision.probability(logits), decision.threshold
    )


def nearest_neighbour_predictions(test: ImageSet, dev: ImageSet) -> Predictions:
    """Let memory alone answer: each image gets the label of the most similar dev image."""
    nearest = best_correlation(test.images, dev.images).argmax(axis=1)
    copied = dev.malignant[nearest].astype(np.float64)
    return Predictions(copied, copied[None], threshold=0.5)


def masks_of(test: ImageSet) -> dict[str, NDArray[np.bool_]]:
    """Return the parts of test: all images, those without and those with a near-duplicate in dev.

    A part of one class only has no AUC and is left out.
    """
    everything = np.ones(len(test), dtype=np.bool_)
    masks = {"test": everything, "leak_free": ~test.leaked, "leaked": test.leaked}
    return {part: mask for part, mask in masks.items() if _has_both(test.malignant[mask])}


def _has_both(malignant: NDArray[np.bool_]) -> bool:
    return len(np.unique(malignant)) == 2


def compare(
    predictions: Mapping[str, Predictions], test: ImageSet, params: EvaluateParams, seed: int
) -> dict[str, Any]:
    """Return scores and differences, each with the ends of its interval, as a tree.

    `<model>.<part>.<score>` for the parts of `masks_of`; `<one>_minus_<other>.<part>.<score>`;
    `leaked_minus_leak_free.<model>.<score>`; beside each `…_low` and `…_high`.
    """
    masks = masks_of(test)

    def score_all(drawn: NDArray[np.int64]) -> dict[str, float]:
        chosen = {part: drawn[mask[drawn]] for part, mask in masks.items()}
        if not all(_has_both(test.malignant[images]) for images in chosen.values()):
            return {}
        rows = {
            (name, part): model.scores(test.malignant, images, headlines=name not in REPORTED)
            for name, model in predictions.items()
            for part, images in chosen.items()
        }
        return _flat(rows) | _differences(rows)

    values = score_all(np.arange(len(test)))
    intervals = bootstrap(score_all, test.group, params.n_bootstrap, params.confidence, seed)
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, leaf = name.split(".")
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
        low, high = intervals[name]
        branch |= {leaf: value, f"{leaf}_low": low, f"{leaf}_high": high}
    return tree


Rows = Mapping[tuple[str, str], Scores]


def _flat(rows: Rows) -> dict[str, float]:
    return {
        f"{model}.{part}.{score}": value
        for (model, part), row in rows.items()
        for score, value in row.items()
    }


def _differences(rows: Rows) -> dict[str, float]:
    pairs = {
        f"{one}_minus_{other}.{part}": (row, rows[other, part])
        for one, other in CONTRASTS
        for (model, part), row in rows.items()
        if model == one
    }
    for (model, part), row in rows.items():
        if part == "leaked" and (model, "leak_free") in rows:
            pairs[f"leaked_minus_leak_free.{model}"] = (row, rows[model, "leak_free"])
    return {
        f"{name}.{score}": more[score] - less[score]
        for name, (more, less) in pairs.items()
        for score in HEADLINES
    }


def summarise(
    predictions: Mapping[str, Predictions], test: ImageSet, params: EvaluateParams, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of metrics/evaluate.json and of metrics/leakage.json.

    Args:
        predictions: by the names `baseline`, `final`, `retrained`, `control` and
            `nearest_neighbour`.
    """
    tree = compare(predictions, test, params, seed)
    evaluate = {name: tree.pop(name) for name in (*REPORTED, "final_minus_baseline")}
    for name in REPORTED:
        evaluate[name] |= {"single": _single(predictions[name], test)}
        evaluate[name] |= {"threshold": predictions[name].threshold}
    return evaluate, tree


def _single(model: Predictions, test: ImageSet) -> dict[str, Any]:
    """Return mean and sd of the headline scores over the members, for each part of test."""
    result = {}
    for part, mask in masks_of(test).items():
        truth = test.malignant[mask]
        result[part] = mean_and_sd(
            [headline_scores(truth, p[mask], model.threshold) for p in model.single]
        )
    return result


def threshold_rows(
    predictions: Mapping[str, Predictions], test: ImageSet, dev: ImageSet
) -> tuple[list[str], list[list[Any]]]:
    """Return how leak-free scores depend on what counts as a near-duplicate: names, then rows."""
    nearest = best_correlation(test.images, dev.images).max(axis=1)
    columns = [f"{model}_{score}" for model in predictions for score in HEADLINES]
    rows: list[list[Any]] = []
    for threshold in THRESHOLDS:
        clean = nearest < threshold
        if _has_both(test.malignant[clean]):
            scored = [model.scores(test.malignant, clean, True) for model in predictions.values()]
            values = [row[name] for row in scored for name in HEADLINES]
            rows.append([threshold, int(clean.sum()), int(test.malignant[clean].sum()), *values])
    return ["near_duplicate_correlation", "leak_free_images", "leak_free_malignant", *columns], rows
