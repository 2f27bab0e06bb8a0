import json
import re
from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.artifact import ModelCard, TrainedModel, load_model, save_model
from breast_ultrasound.model.classifier import Classifier, logits_of, predict
from breast_ultrasound.model.training import TrainingConfig, classifier_of, fit, weights_of
from tests.training_sets import training_set


@pytest.fixture
def folder(tmp_path: Path, card: ModelCard, config: TrainingConfig, dev: ImageSet) -> Path:
    members = [fit(config, training_set(dev), seed).model for seed in (0, 1)]
    exact = card.model_copy(update={"temperature": 1.23456789012345, "offset": 1 / 3})
    model = TrainedModel(exact, [weights_of(member) for member in members], dev.thumbnails)
    save_model(tmp_path / "model", model)
    np.save(tmp_path / "logits.npy", logits_of(classifier_of(config, members), dev.images, "cpu"))
    whole = Classifier(members, "portable", True, 1.23456789012345, 1 / 3)
    np.save(tmp_path / "probability.npy", predict(whole, dev.images, "cpu").probability)
    return tmp_path / "model"


def test_a_model_predicts_the_same_after_a_round_trip(folder: Path, dev: ImageSet) -> None:
    model = load_model(folder)
    expected = np.load(folder.parent / "logits.npy")
    assert np.array_equal(logits_of(model.classifier(), dev.images, "cpu"), expected)
    probability = predict(model.classifier(), dev.images, "cpu").probability
    assert np.array_equal(probability, np.load(folder.parent / "probability.npy"))
    assert (model.card.temperature, model.card.offset) == (1.23456789012345, 1 / 3)
    assert model.known is not None
    assert np.array_equal(model.known, dev.thumbnails)
    (folder / "known.safetensors").unlink()
    assert load_model(folder).known is None


def test_a_model_of_another_transform_is_refused(folder: Path) -> None:
    """This program would show it what it has not learned from."""
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**content, "transform": "resize"}))
    expected = re.escape(f"model.json: transform: expected {content['transform']}, got resize")
    with pytest.raises(InputError, match=expected):
        load_model(folder)


def test_a_missing_or_damaged_part_is_named(folder: Path) -> None:
    card = json.loads((folder / "model.json").read_text())
    for change in ({"offset": "x"}, {"format_version": 1}, {"image_size": 20}, {"transform": None}):
        (folder / "model.json").write_text(json.dumps({**card, **change}))
        (name,) = change
        with pytest.raises(InputError, match=rf"model\.json: {name}: .*train the model again"):
            load_model(folder)
    (folder / "model.json").write_text(json.dumps(card))
    narrower = {
        **card,
        "config": {**card["config"], "model": {**card["config"]["model"], "width": 12}},
    }
    (folder / "model.json").write_text(json.dumps(narrower))
    with pytest.raises(InputError, match=r"member_0\.safetensors: not of the network in model"):
        load_model(folder)
    (folder / "model.json").write_text(json.dumps(card))
    known = folder / "known.safetensors"
    before = known.read_bytes()
    for content, message in (
        (before[:99], "damaged"),
        ((folder / "member_0.safetensors").read_bytes(), "expected thumbnails of 28 pixels"),
    ):
        known.write_bytes(content)
        with pytest.raises(InputError, match=rf"known\.safetensors: {message}"):
            load_model(folder)
    known.write_bytes(before)
    weights = folder / "member_1.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match=r"member_1\.safetensors: damaged"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(InputError, match=r"member_1\.safetensors: no such file"):
        load_model(folder)
    (folder / "model.json").unlink()
    with pytest.raises(InputError, match=r"model\.json: no such file"):
        load_model(folder)
