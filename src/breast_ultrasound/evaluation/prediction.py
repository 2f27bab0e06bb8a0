"""Predictions for people: of one image each, and which of them the model may remember."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet, thumbnails_of
from breast_ultrasound.data.near_duplicates import best_correlation
from breast_ultrasound.files import InputError
from breast_ultrasound.model.arithmetic import Device
from breast_ultrasound.model.artifact import TrainedModel
from breast_ultrasound.model.classifier import predict
from breast_ultrasound.runs.run import digest_of

COLUMNS = [
    "picture",
    "malignant_probability",
    "lowest",
    "highest",
    "malignant",
    "dev_near_duplicate",
]


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture.

    Attributes:
        probability: of malignant, calibrated, in [0, 1].
        threshold: from which on malignant is predicted.
        lowest, highest: that of single networks of the ensemble, with the same calibration.
        near_duplicate: index of the dev image that the picture is a near-duplicate of, the nearest
            one. The final model has learned from all of dev, others from a subset. None: there is
            no such image.
    """

    probability: float
    threshold: float
    lowest: float
    highest: float
    near_duplicate: int | None

    @property
    def malignant(self) -> bool:
        """Whether malignant is predicted, at the operating point asked for."""
        return self.probability >= self.threshold

    def __str__(self) -> str:
        predicted = "malignant" if self.malignant else "not malignant"
        words = (
            f"{predicted}, probability of malignant {self.probability:.2f} "
            f"(networks from {self.lowest:.2f} to {self.highest:.2f})"
        )
        return words + (
            ""
            if self.near_duplicate is None
            else f"; near-duplicate of dev image {self.near_duplicate}"
        )

    def row(self, picture: Path) -> list[Any]:
        """Return the cells of `COLUMNS`."""
        duplicate = "" if self.near_duplicate is None else self.near_duplicate
        scores = self.probability, self.lowest, self.highest
        return [str(picture), *scores, int(self.malignant), duplicate]


def predict_images(
    images: NDArray[np.uint8],
    model: TrainedModel,
    dev: ImageSet,
    threshold: float = 0.5,
    device: Device = "cpu",
) -> list[Prediction]:
    """Predict images, and look for those in dev that the model may remember.

    Args:
        images: (N, S, S) uint8, grey, of the model's size.
        dev: the set that the model was trained on, or on a subset of.
        threshold: the probability from which on malignant is predicted.

    Raises:
        InputError: the model's set was another.
    """
    if model.card.data != digest_of({"images": dev.images, "malignant": dev.malignant}):
        raise InputError(
            "--dev: expected the dev images of the model's pipeline, got others; give their file"
        )
    predictions = predict(model.classifier(), images, device)
    similarity = best_correlation(thumbnails_of(images), dev.thumbnails)
    known = similarity.max(axis=1) >= model.card.near_duplicate_correlation
    duplicates = [
        int(i) if k else None for i, k in zip(similarity.argmax(axis=1), known, strict=True)
    ]
    rows = zip(predictions.probability, predictions.member_probability.T, duplicates, strict=True)
    return [
        Prediction(float(p), threshold, float(members.min()), float(members.max()), duplicate)
        for p, members, duplicate in rows
    ]
