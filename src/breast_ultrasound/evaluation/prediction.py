"""Predictions for people: of one image each, and which of them the model may remember."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import thumbnails_of
from breast_ultrasound.data.near_duplicates import nearest
from breast_ultrasound.model.arithmetic import Device
from breast_ultrasound.model.artifact import TrainedModel
from breast_ultrasound.model.classifier import PREDICTION_BATCH, predict

Image = tuple[str, NDArray[np.uint8]]  # its name, and (S, S) greys


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        image: its name.
        probability: of malignant, calibrated, in [0, 1].
        threshold: from which on malignant is predicted.
        lowest, highest: that of single networks of the ensemble, with the same calibration.
        near_duplicate: index of the dev image that the image is a near-duplicate of, the nearest
            one. The final model has learned from all of dev, others from a subset. None: there is
            no such image, or it was not looked for.
        unlike: whether the image is unlike all that the model learned from, as far as is known.
    """

    image: str
    probability: float
    threshold: float
    lowest: float
    highest: float
    near_duplicate: int | None
    unlike: bool

    @property
    def malignant(self) -> bool:
        """Whether malignant is predicted, at the operating point asked for."""
        return self.probability >= self.threshold

    def row(self) -> dict[str, Any]:
        """Return it by the names of the columns of a table; an empty cell is None."""
        return {
            "image": self.image,
            "malignant_probability": self.probability,
            "lowest": self.lowest,
            "highest": self.highest,
            "malignant": int(self.malignant),
            "dev_near_duplicate": self.near_duplicate,
            "unlike_learned": int(self.unlike),
        }


def predict_images(
    images: Iterable[Image],
    model: TrainedModel,
    known: NDArray[np.uint8] | None,
    threshold: float = 0.5,
    device: Device = "cpu",
) -> Iterator[Prediction]:
    """Predict images, batch by batch, and look for those that the model may remember.

    Args:
        images: of the model's size.
        known: (K, 28, 28) uint8, thumbnails of dev; None looks for none.
        threshold: the probability from which on malignant is predicted.
    """
    classifier, cut = model.classifier(), model.card.near_duplicate_correlation
    limit = model.card.unlike_below
    rest = iter(images)
    while batch := list(islice(rest, PREDICTION_BATCH)):
        greys = np.stack([grey for _, grey in batch])
        predictions = predict(classifier, greys, device)
        alike, duplicates = _compared(greys, known, cut)
        members = predictions.member_probability
        for i, (name, _) in enumerate(batch):
            lowest, highest = float(members[:, i].min()), float(members[:, i].max())
            probability = float(predictions.probability[i])
            unlike = limit is not None and bool(alike[i] < limit)
            yield Prediction(name, probability, threshold, lowest, highest, duplicates[i], unlike)


def _compared(
    images: NDArray[np.uint8], known: NDArray[np.uint8] | None, cut: float
) -> tuple[NDArray[np.float32], list[int | None]]:
    """Return how alike each image is to the nearest known one, and which near-duplicate it has."""
    if known is None:
        return np.ones(len(images), dtype=np.float32), [None] * len(images)
    return nearest(thumbnails_of(images), known, cut)
