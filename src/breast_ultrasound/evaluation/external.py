"""Scores of models at home and elsewhere, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.metrics import bootstrap, scores
from breast_ultrasound.evaluation.model_scores import has_both
from breast_ultrasound.params import EvaluateParams
from breast_ultrasound.ranking import auc

COLUMNS = ("learned_from", "scored_on", "images", "patients", "auc", "auc_low", "auc_high",
           "accuracy", "sensitivity", "specificity", "patient_auc")  # fmt: skip


@dataclass(frozen=True)
class ScoredImages:
    """Images, and the probabilities that some model gives them, which did not learn from them.

    Attributes:
        learned_from, scored_on: in words.
        images: N images.
        probability: (N,) float64 of malignant.
    """

    learned_from: str
    scored_on: str
    images: ImageSet
    probability: NDArray[np.float64]

    def subset(self, chosen: NDArray[np.bool_], scored_on: str) -> "ScoredImages":
        """Return those that a mask, (N,) bool, chooses, under another name."""
        images = self.images.subset(chosen)
        return replace(
            self, scored_on=scored_on, images=images, probability=self.probability[chosen]
        )


def per_patient(
    images: ImageSet, probability: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return the truth and probability of each patient: the highest of the patient's images.

    Images of unknown patients stand for themselves.
    """
    unknown = np.array([f"\0{i}" for i in range(len(images))])
    patient = np.where(images.patient == "", unknown, images.patient)
    _, member = np.unique(patient, return_inverse=True)
    n_patients = int(member.max()) + 1
    highest = np.zeros(n_patients)
    np.maximum.at(highest, member, probability)
    malignant = np.zeros(n_patients, dtype=np.bool_)
    malignant[member[images.malignant]] = True
    return malignant, highest


def score_rows(
    scored: Sequence[ScoredImages], interval: EvaluateParams, seed: int
) -> list[dict[str, Any]]:
    """Return the scores of each, with intervals that resample patients and near-duplicates."""
    return [_row(one, interval, seed) for one in scored]


def _row(one: ScoredImages, interval: EvaluateParams, seed: int) -> dict[str, Any]:
    truth = one.images.malignant

    def score(drawn: NDArray[np.int64]) -> dict[str, float]:
        if not has_both(truth[drawn]):
            return {}
        return scores(truth[drawn], one.probability[drawn])

    values = score(np.arange(len(truth)))
    ends = bootstrap(score, one.images.group, interval.n_bootstrap, interval.confidence, seed)
    malignant, highest = per_patient(one.images, one.probability)
    return {
        "learned_from": one.learned_from,
        "scored_on": one.scored_on,
        "images": len(truth),
        "malignant": int(truth.sum()),
        "patients": len(malignant),
        **{
            key: value
            for name, own in values.items()
            for key, value in (
                (name, own),
                (f"{name}_low", ends[name][0]),
                (f"{name}_high", ends[name][1]),
            )
        },
        "patient_auc": auc(malignant, highest),
    }


def key_of_row(row: dict[str, Any]) -> str:
    """Return a row's name in metrics: words without spaces."""
    words = f"{row['learned_from']}_on_{row['scored_on']}".lower()
    return words.replace(", ", "_").replace(" ", "_").replace("-", "_")


def table_of(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return column names and rows for a CSV."""
    return list(COLUMNS), [[row[name] for name in COLUMNS] for row in rows]
