"""The images of a set to learn from."""

import numpy as np

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model.training import TrainingSet


def training_set(images: ImageSet, chosen: np.ndarray | None = None) -> TrainingSet:
    """Return all images of a set to learn from, or those chosen."""
    everything = np.arange(len(images)) if chosen is None else chosen
    return TrainingSet(images.images, images.malignant, everything)
