"""What a trained model says of pictures, and which of them it may remember."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.twins import best_correlation
from breast_ultrasound.evaluation.judgement import judge
from breast_ultrasound.files import InputError
from breast_ultrasound.model.artifact import Ensemble
from breast_ultrasound.model.training import Hardware
from breast_ultrasound.runs.run import digest_of

COLUMNS = ["picture", "malignant_probability", "lowest", "highest", "malignant", "dev_twin"]


@dataclass(frozen=True)
class Answer:
    """What a model says of one picture.

    Attributes:
        probability: of malignant, calibrated, in [0, 1].
        lowest, highest: that of single networks of the ensemble, with the same calibration.
        malignant: whether the probability reaches the model's threshold.
        twin: index of the dev image that the picture is a near-twin of, the nearest one. The final
            model has learned from all of dev, others from a part. None: there is no such image.
    """

    probability: float
    lowest: float
    highest: float
    malignant: bool
    twin: int | None

    def __str__(self) -> str:
        call = "malignant" if self.malignant else "not malignant"
        words = (
            f"{call}, probability of malignant {self.probability:.2f} "
            f"(networks from {self.lowest:.2f} to {self.highest:.2f})"
        )
        return words + ("" if self.twin is None else f"; near-twin of dev image {self.twin}")

    def row(self, picture: Path) -> list[Any]:
        """Return the cells of `COLUMNS`."""
        twin = "" if self.twin is None else self.twin
        scores = self.probability, self.lowest, self.highest
        return [str(picture), *scores, int(self.malignant), twin]


def answer(
    images: NDArray[np.uint8],
    model: Ensemble,
    dev: ImageSet,
    correlation: float,
    hardware: Hardware,
) -> list[Answer]:
    """Let a model answer, and look for images in dev that it may remember.

    Args:
        images: (N, 28, 28) uint8, grey.
        dev: the set that the model was trained on, or on a part of.
        correlation: of pixels, from which images are near-twins.

    Raises:
        InputError: the model's set was another.
    """
    if model.card.data != digest_of({"images": dev.images, "malignant": dev.malignant}):
        raise InputError(
            "--dev: expected the dev images of the model's pipeline, got others; give their file"
        )
    judged = judge(model, images, hardware)
    nearness = best_correlation(images, dev.images).round(12)  # of a copy it is 1, not less
    nearest = nearness.argmax(axis=1)
    is_twin = nearness.max(axis=1) >= correlation
    return [
        Answer(
            float(probability),
            float(single.min()),
            float(single.max()),
            bool(probability >= judged.threshold),
            int(twin) if known else None,
        )
        for probability, single, twin, known in zip(
            judged.probability, judged.single.T, nearest, is_twin, strict=True
        )
    ]
