"""Pictures of maps."""

import numpy as np

from breast_ultrasound.evaluation.explanation import LIMIT
from breast_ultrasound.report.gallery import SIDE, overlaid


def test_what_speaks_for_malignant_is_red_and_against_it_blue() -> None:
    image = np.full((28, 28), 128, dtype=np.uint8)
    for sign, stronger in ((1, 0), (-1, 2)):
        mixed = overlaid(image, np.full((28, 28), sign * LIMIT)).reshape(-1, 3).astype(int)
        assert (mixed.argmax(axis=1) == stronger).all()


def test_where_nothing_speaks_the_image_stays() -> None:
    image = np.arange(28 * 28, dtype=np.uint16).reshape(28, 28).astype(np.uint8)
    mixed = overlaid(image, np.zeros((28, 28)))
    assert mixed.shape == (SIDE, SIDE, 3)
    assert (mixed == mixed[..., :1]).all()


def test_beyond_the_limit_colours_stay() -> None:
    image = np.full((8, 8), 90, dtype=np.uint8)
    full, more = (overlaid(image, np.full((8, 8), LIMIT * times)) for times in (1, 50))
    assert np.array_equal(full, more)
