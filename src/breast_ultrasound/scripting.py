"""A trained model as scripts have it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.pictures import MIN_SIDE, array_to_square
from breast_ultrasound.files import InputError
from breast_ultrasound.model.arithmetic import limit_process
from breast_ultrasound.model.artifact import load_model
from breast_ultrasound.model.classifier import predict


class Model:
    """A trained model. For research: it is not a medical device.

    Attributes:
        card: what it is and where it comes from, as a dictionary; `model.json` in its folder.
    """

    def __init__(self, folder: Path) -> None:
        trained = load_model(folder)
        self.card = trained.card.model_dump(mode="json")
        limit_process(trained.card.config.training.arithmetic, "cpu")
        self._side, self._classifier = trained.card.image_size, trained.classifier()

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the probability of malignant, (N,) float64.

        Args:
            images: (N, H, W) grey or (N, H, W, 3) uint8 of 28 pixels a side or more, as bright as
                they are meant to be seen; the centre square is scaled to the model's size.

        Raises:
            InputError: they are no such images, or one shows nothing. It is a ValueError.
        """
        images, side = np.asarray(images), self._side
        if (
            images.dtype != np.uint8
            or images.ndim not in (3, 4)
            or images.shape[3:] not in ((), (1,), (3,))
            or min(images.shape[1:3]) < MIN_SIDE
        ):
            raise InputError(
                f"expected images uint8 of shape (N, H, W) or (N, H, W, 3), H and W {MIN_SIDE} or "
                f"more, got {images.dtype} of shape {images.shape}"
            )
        if images.shape[1:] != (side, side):
            scaled = [array_to_square(image, side) for image in images]
            images = np.array(scaled, dtype=np.uint8).reshape(-1, side, side)
        blank = np.ptp(images, axis=(1, 2)) == 0
        if blank.any():
            raise InputError(f"images[{blank.argmax()}]: the same grey everywhere")
        return predict(self._classifier, images, "cpu").probability
