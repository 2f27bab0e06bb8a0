"""The ONNX file against torch."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model import export
from breast_ultrasound.model.artifact import ModelCard, TrainedModel
from breast_ultrasound.model.classifier import predict
from breast_ultrasound.model.export import ask, export_onnx
from breast_ultrasound.model.training import TrainingConfig, fit, weights_of
from tests.training_sets import training_set


@pytest.fixture(scope="module")
def model(card: ModelCard, config: TrainingConfig, dev: ImageSet) -> TrainedModel:
    members = [weights_of(fit(config, training_set(dev), seed).model) for seed in (0, 1)]
    return TrainedModel(card, members)


@pytest.mark.slow
def test_one_file_predicts_as_the_model_whatever_the_number_of_images(
    model: TrainedModel, dev: ImageSet, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    assert export_onnx(model, dev.images, file) < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    expected = predict(model.classifier(), dev.images, "cpu").probability
    for n_images in (1, 2, 7):
        found = ask(file.read_bytes(), dev.images[:n_images])
        assert (found.dtype, found.shape) == (np.float64, (n_images,))
        np.testing.assert_allclose(found, expected[:n_images], atol=1e-5)
    proto = onnx.load(file)
    properties = {one.key: one.value for one in proto.metadata_props}
    assert json.loads(properties["card"]) == model.card.model_dump(mode="json")
    assert [node.name for node in proto.graph.input] == ["images"]
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_a_file_that_predicts_otherwise_is_not_written(
    model: TrainedModel, dev: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "onnx_of", lambda _: b"")
    monkeypatch.setattr(export, "ask", lambda _, images: np.full(len(images), 2.0))
    with pytest.raises(InputError, match=r"expected torch's probabilities within 0\.0001, got"):
        export_onnx(model, dev.images, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
