"""The judgement of trained models on the test images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation.calibration import Decision
from breast_ultrasound.evaluation.metrics import bootstrap, mean_and_sd, scores
from breast_ultrasound.model.artifact import Ensemble
from breast_ultrasound.model.training import Hardware
from breast_ultrasound.params import EvaluateParams

SINGLE_SCORES = ("auc", "accuracy")


@dataclass(frozen=True)
class Judged:
    """A model's answers to N images.

    Attributes:
        probability: (N,) float64 of malignant, by the ensemble.
        single: (M, N) float64, by each member alone.
        threshold: at or above it an image is called malignant.
    """

    probability: NDArray[np.float64]
    single: NDArray[np.float64]
    threshold: float


def judge(model: Ensemble, images: ImageSet, hardware: Hardware) -> Judged:
    """Let a model score images, with the temperature and threshold on its card."""
    decision = Decision(model.card.temperature, model.card.threshold)
    logits = model.predict(images.images, hardware)
    return Judged(
        decision.probability(logits.mean(axis=0)), decision.probability(logits), decision.threshold
    )


def summarise(
    judged: Mapping[str, Judged], test: ImageSet, params: EvaluateParams, seed: int
) -> dict[str, Any]:
    """Return the content of metrics/evaluate.json.

    For each model, `test` (all images) and `leak_free` (those without a near-twin in dev) hold
    every score with the ends of its interval, `single` the mean and sd over the members.
    """
    parts = {"test": np.ones(len(test), dtype=np.bool_), "leak_free": ~test.leaked}
    return {
        name: {
            **{
                part: _with_intervals(model, test, mask, params, seed)
                for part, mask in parts.items()
            },
            "single": {part: _single(model, test, mask) for part, mask in parts.items()},
            "threshold": model.threshold,
        }
        for name, model in judged.items()
    }


def _with_intervals(
    model: Judged, test: ImageSet, mask: NDArray[np.bool_], params: EvaluateParams, seed: int
) -> dict[str, float]:
    malignant, probability = test.malignant[mask], model.probability[mask]
    values = scores(malignant, probability, model.threshold)
    intervals = bootstrap(
        lambda drawn: scores(malignant[drawn], probability[drawn], model.threshold),
        malignant,
        test.group[mask],
        params.n_bootstrap,
        params.confidence,
        seed,
    )
    row: dict[str, float] = {}
    for name, value in values.items():
        low, high = intervals[name]
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row


def _single(model: Judged, test: ImageSet, mask: NDArray[np.bool_]) -> dict[str, Any]:
    rows = [scores(test.malignant[mask], p[mask], model.threshold) for p in model.single]
    return mean_and_sd([{name: row[name] for name in SINGLE_SCORES} for row in rows])
