"""What scripts are promised: three lines, in a process of their own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import breast_ultrasound as bu
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.artifact import ModelCard, TrainedModel, save_model
from breast_ultrasound.model.classifier import predict
from breast_ultrasound.model.training import TrainingConfig, fit, weights_of
from tests.training_sets import training_set

SCRIPT = """
import json, sys
import numpy as np
import breast_ultrasound as bu
assert "torch" not in sys.modules
images = np.load(sys.argv[2])
probability = bu.load(sys.argv[1]).predict(images)
print(json.dumps(probability.tolist()))
"""


@pytest.fixture(scope="module")
def folder(
    card: ModelCard,
    config: TrainingConfig,
    dev: ImageSet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    members = [weights_of(fit(config, training_set(dev), seed).model) for seed in (0, 1)]
    path = tmp_path_factory.mktemp("model")
    save_model(path, TrainedModel(card, members))
    np.save(path / "images.npy", dev.images)
    classifier = TrainedModel(card, members).classifier()
    np.save(path / "probability.npy", predict(classifier, dev.images, "cpu").probability)
    return path


def test_three_lines_predict(folder: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(folder / "images.npy")]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    expected = np.load(folder / "probability.npy")
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-6)


def test_images_of_any_size_and_colour_are_brought_to_the_models(folder: Path) -> None:
    model, images = bu.load(folder), np.load(folder / "images.npy")[:6]
    expected = np.load(folder / "probability.npy")[:6]
    coloured = images[..., None].repeat(3, axis=3)
    np.testing.assert_allclose(model.predict(coloured), expected, atol=1e-6)
    wide = np.pad(images, ((0, 0), (0, 0), (4, 4)))
    np.testing.assert_allclose(model.predict(wide), expected, atol=1e-6)
    assert model.predict(images[:0]).shape == model.predict(wide[:0]).shape == (0,)
    assert model.card["image_size"] == 28


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 28, 28)),
        np.zeros((28, 28), np.uint8),
        np.zeros((2, 28, 28, 2), np.uint8),
        np.zeros((2, 0, 0), np.uint8),
        np.zeros((50, 60, 3), np.uint8),  # one picture in colour
        [[1, 2], [3, 4]],
        None,
        "a.png",
    ],
)
def test_what_are_no_images_are_refused(folder: Path, images: Any) -> None:
    with pytest.raises(InputError, match=r"expected images uint8 of shape \(N, H, W\)"):
        bu.load(folder).predict(images)
    with pytest.raises(ValueError, match="no such file"):
        bu.load(folder / "gone")
    with pytest.raises(ValueError, match="expected the folder of a model"):
        bu.load(folder / "images.npy")


def test_an_image_that_shows_nothing_is_refused(folder: Path) -> None:
    images = np.load(folder / "images.npy")[:3]
    images[1] = 7
    with pytest.raises(InputError, match=r"images\[1\]: the same grey everywhere"):
        bu.load(folder).predict(images)
