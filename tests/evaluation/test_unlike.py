"""Images of other kinds, and the score that tells them."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.near_duplicates import nearest
from breast_ultrasound.evaluation.unlike import PHOTOGRAPHS, no_ultrasound, told_apart


def test_other_kinds_are_images_of_the_size_asked_for() -> None:
    kinds = no_ultrasound(28, seed=0)
    assert list(kinds) == ["phantoms", "photographs", "noise"]
    for images in kinds.values():
        assert images.side == 28
        assert (images.images.std(axis=(1, 2)) > 0).mean() > 0.95
    assert len(kinds["photographs"]) == 4 * len(PHOTOGRAPHS)
    assert len(np.unique(kinds["photographs"].group)) == len(PHOTOGRAPHS)


def test_noise_is_told_from_phantoms_and_phantoms_are_not(dev: ImageSet) -> None:
    kinds = no_ultrasound(28, seed=1)
    home = kinds["phantoms"]
    alike = {
        name: nearest(kind.thumbnails, dev.thumbnails, 0.95)[0] for name, kind in kinds.items()
    }
    noise = told_apart(home, kinds["noise"], alike["phantoms"], alike["noise"], 0.95)
    assert noise["auc"] > 0.99
    half = np.arange(len(home)) % 2 == 0
    same = told_apart(
        home.subset(half),
        home.subset(~half),
        alike["phantoms"][half],
        alike["phantoms"][~half],
        0.95,
    )
    assert same["auc_low"] < 0.5 < same["auc_high"]
    truth = np.arange(len(home)) % 2 == 1
    assert same["auc"] == pytest.approx(roc_auc_score(truth, -alike["phantoms"]), abs=0.01)
