import json
from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.artifact import ModelCard, load_model, save_model
from breast_ultrasound.model.training import TrainingConfig, fit, predict, weights_of
from tests.conftest import CPU


@pytest.fixture
def folder(tmp_path: Path, card: ModelCard, config: TrainingConfig, dev: ImageSet) -> Path:
    members = [fit(config, dev.images, dev.malignant, seed, CPU).model for seed in (0, 1)]
    exact = card.model_copy(update={"temperature": 1.23456789012345, "threshold": 1 / 3})
    save_model(tmp_path / "model", exact, [weights_of(model) for model in members])
    logits = [predict(model, dev.images, CPU, test_time_augmentation=True) for model in members]
    np.save(tmp_path / "expected.npy", np.stack(logits))
    return tmp_path / "model"


def test_a_model_predicts_the_same_after_a_round_trip(folder: Path, dev: ImageSet) -> None:
    model = load_model(folder)
    expected = np.load(folder.parent / "expected.npy")
    assert np.array_equal(model.predict(dev.images, CPU), expected)
    assert (model.card.temperature, model.card.threshold) == (1.23456789012345, 1 / 3)


def test_a_missing_or_damaged_part_is_named(folder: Path) -> None:
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "threshold": "x"}))
    with pytest.raises(InputError, match=r"model\.json: threshold: .*train the model again"):
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
