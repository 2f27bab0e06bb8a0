"""What a trained model says of pictures, and which of them it may remember."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.near_duplicates import best_correlation
from breast_ultrasound.evaluation.model_scores import predict_with
from breast_ultrasound.files import InputError
from breast_ultrasound.model.artifact import Ensemble
from breast_ultrasound.model.training import Hardware
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
        lowest, highest: that of single networks of the ensemble, with the same calibration.
        malignant: whether the probability reaches the model's threshold.
        near_duplicate: index of the dev image that the picture is a near-duplicate of, the nearest
            one. The final model has learned from all of dev, others from a part. None: there is no
            such image.
    """

    probability: float
    lowest: float
    highest: float
    malignant: bool
    near_duplicate: int | None

    def __str__(self) -> str:
        call = "malignant" if self.malignant else "not malignant"
        words = (
            f"{call}, probability of malignant {self.probability:.2f} "
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
    model: Ensemble,
    dev: ImageSet,
    correlation: float,
    hardware: Hardware,
) -> list[Prediction]:
    """Let a model answer, and look for images in dev that it may remember.

    Args:
        images: (N, 28, 28) uint8, grey.
        dev: the set that the model was trained on, or on a part of.
        correlation: of pixels, from which images are near-duplicates.

    Raises:
        InputError: the model's set was another.
    """
    if model.card.data != digest_of({"images": dev.images, "malignant": dev.malignant}):
        raise InputError(
            "--dev: expected the dev images of the model's pipeline, got others; give their file"
        )
    predictions = predict_with(model, images, hardware)
    nearness = best_correlation(images, dev.images).round(12)  # of a copy it is 1, not less
    nearest = nearness.argmax(axis=1)
    is_near_duplicate = nearness.max(axis=1) >= correlation
    return [
        Prediction(
            float(probability),
            float(single.min()),
            float(single.max()),
            bool(probability >= predictions.threshold),
            int(duplicate) if known else None,
        )
        for probability, single, duplicate, known in zip(
            predictions.probability, predictions.single.T, nearest, is_near_duplicate, strict=True
        )
    ]
