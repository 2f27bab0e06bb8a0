"""The images of test that a model is most sure of and wrong about, with maps, as data URIs."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.explanation import LIMIT, maps_of, most_confident
from breast_ultrasound.model.classifier import Classifier

SIDE = 224  # pixels as shown
FOR_MALIGNANT, AGAINST = (193, 67, 46), (58, 110, 165)
OPACITY = 0.6  # of the strongest places


@dataclass(frozen=True)
class Mistake:
    """An image that was decided wrongly: what it is, as a picture, and with its map on it."""

    label: str
    probability: float
    image: str
    overlay: str


def mistakes(
    classifier: Classifier, images: ImageSet, probability: NDArray[np.float64]
) -> list[Mistake]:
    """Return the mistakes at ½, up to four of each class, the most confident first.

    Args:
        probability: (N,) float64 of malignant.
    """
    wrong = images.malignant != (probability >= 0.5)
    kinds = images.malignant, ~images.malignant
    chosen = np.concatenate([most_confident(probability, wrong & kind) for kind in kinds])
    maps = maps_of(classifier, images.images[chosen])
    return [
        Mistake(
            str(images.label[i]),
            float(probability[i]),
            data_uri(enlarged(images.images[i])),
            data_uri(overlaid(images.images[i], found)),
        )
        for i, found in zip(chosen, maps, strict=True)
    ]


def overlaid(image: NDArray[np.uint8], found: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return an image (S, S) with its map (S, S) on it, (224, 224, 3): red speaks for malignant."""
    grey = enlarged(image)[..., None].astype(np.float32)
    strength = np.clip(_resized(found.astype(np.float32)) / LIMIT, -1, 1)[..., None]
    colour = np.where(strength > 0, FOR_MALIGNANT, AGAINST)
    alpha = OPACITY * np.abs(strength)
    mixed: NDArray[np.uint8] = (grey * (1 - alpha) + colour * alpha).round().astype(np.uint8)
    return mixed


def enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (S, S) as it is shown, (224, 224)."""
    grown = np.clip(_resized(image.astype(np.float32)), 0, 255)
    shown: NDArray[np.uint8] = grown.round().astype(np.uint8)
    return shown


def _resized(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def data_uri(picture: NDArray[np.uint8]) -> str:
    """Return a picture, (H, W) or (H, W, 3), as a PNG that a page can hold."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
