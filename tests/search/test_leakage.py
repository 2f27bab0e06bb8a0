from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.calibration import Calibration
from breast_ultrasound.evaluation.leakage import nearest_neighbour
from breast_ultrasound.files import InputError
from breast_ultrasound.model.artifact import ModelCard, TrainedModel
from breast_ultrasound.model.classifier import logits_of, predict
from breast_ultrasound.model.training import TrainingConfig, classifier_of, fit, weights_of
from breast_ultrasound.params import Params
from breast_ultrasound.runs.cache import RunCache
from breast_ultrasound.runs.execute import Resources
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search import leakage
from breast_ultrasound.search.cross_validation import single_auc
from breast_ultrasound.search.final_models import final_runs
from breast_ultrasound.search.leakage import (
    effect_on_folds,
    images_to_learn,
    logits_on_test,
    models_on_test,
    predictions_of,
)
from tests.training_sets import training_set


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    return Resources("cpu", 1, RunCache(tmp_path / "cache"))


def test_the_control_lacks_as_many_of_each_class_and_knows_the_duplicates(dev: ImageSet) -> None:
    retrained = images_to_learn("without_leaked", dev, 0)
    control = images_to_learn("size_matched_control", dev, 0)
    assert not dev.leaked[retrained].any()
    assert dev.leaked.sum() == dev.leaked[control].sum() > 0
    assert len(control) == len(retrained) == len(dev) - dev.leaked.sum()
    assert dev.malignant[control].sum() == dev.malignant[retrained].sum()
    for learned in (retrained, control):
        assert (np.diff(learned) > 0).all()
    assert np.array_equal(control, images_to_learn("size_matched_control", dev, 0))
    assert not np.array_equal(control, images_to_learn("size_matched_control", dev, 1))


def test_a_control_that_cannot_lack_as_many_is_warned_of(
    dev: ImageSet, capsys: pytest.CaptureFixture[str]
) -> None:
    images_to_learn("size_matched_control", dev, 0)
    assert not capsys.readouterr().err
    mostly = replace(dev, leaked=np.arange(len(dev)) % 4 > 0)
    images_to_learn("size_matched_control", mostly, 0)
    assert "raise preprocess.near_duplicate_correlation" in capsys.readouterr().err


def test_logits_are_of_networks_of_the_final_seeds_on_test_images(
    config: TrainingConfig,
    dev_test: tuple[ImageSet, ImageSet],
    nothing_more: ImageSet,
    resources: Resources,
) -> None:
    dev, test = dev_test
    learned = images_to_learn("without_leaked", dev, 0)
    found = logits_on_test(config, learned, dev, test, nothing_more, 2, 0, resources, "")
    networks = [
        fit(config, training_set(dev, learned), run.seed).model
        for run in final_runs(config, learned, 2, 0)
    ]
    expected = logits_of(classifier_of(config, networks), test.images, "cpu")
    assert found.shape == (2, len(test))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_networks_that_diverged_predict_nothing(
    config: TrainingConfig,
    dev_test: tuple[ImageSet, ImageSet],
    nothing_more: ImageSet,
    resources: Resources,
) -> None:
    dev, test = dev_test
    sgd = config.training.model_copy(update={"optimizer": "sgd", "n_epochs": 5})
    wild = config.model_copy(update={"lr": 1e6, "training": sgd})
    with pytest.raises(InputError, match="1 of 1 trainings diverged"):
        logits_on_test(wild, np.arange(len(dev)), dev, test, nothing_more, 1, 0, resources, "")


def test_predictions_are_the_calibrated_mean_and_each_members() -> None:
    logits = np.array([[0, 2], [4, -2]], dtype=np.float32)
    found = predictions_of(logits, Calibration(2.0, 0.5))
    np.testing.assert_allclose(found.probability, expit([1.5, 0.5]))
    np.testing.assert_allclose(found.member_probability, expit([[0.5, 1.5], [2.5, -0.5]]))


@pytest.fixture
def pipeline(config: TrainingConfig, card: ModelCard, dev: ImageSet) -> dict[str, TrainedModel]:
    """Of two models with opposite opinions."""
    weights = weights_of(fit(config, training_set(dev), 0).model)
    turned = {**weights, "fc.weight": -weights["fc.weight"]}
    return {
        "baseline": TrainedModel(card.model_copy(update={"seeds": [0]}), [turned]),
        "final": TrainedModel(card, [weights, weights]),
    }


def test_models_of_the_pipeline_and_memory_are_under_their_own_names(
    config: TrainingConfig,
    pipeline: dict[str, TrainedModel],
    dev_test: tuple[ImageSet, ImageSet],
    nothing_more: ImageSet,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dev, test = dev_test
    logits = np.zeros((2, len(test)), dtype=np.float32)
    monkeypatch.setattr(leakage, "logits_on_test", lambda *_: logits)
    models = models_on_test(config, pipeline, dev, test, nothing_more, 0, resources)
    assert list(models) == [
        "baseline",
        "final",
        "retrained",
        "size_matched_control",
        "nearest_neighbour",
    ]
    for name, model in pipeline.items():
        expected = predict(model.classifier(), test.images, "cpu").probability
        np.testing.assert_allclose(models[name].probability, expected)
    assert not np.allclose(models["baseline"].probability, models["final"].probability)
    memory = nearest_neighbour(test, dev).probability
    assert np.array_equal(models["nearest_neighbour"].probability, memory)


def test_models_trained_anew_are_under_their_own_names(
    config: TrainingConfig,
    pipeline: dict[str, TrainedModel],
    dev_test: tuple[ImageSet, ImageSet],
    nothing_more: ImageSet,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dev, test = dev_test
    learned: dict[str, np.ndarray] = {}

    def numbered(told: TrainingConfig, images: np.ndarray, *rest: Any) -> np.ndarray:
        *_, n_seeds, _, _, label = rest
        assert told == config
        learned[label] = images
        return np.full((n_seeds, len(test)), len(learned), dtype=np.float32)

    monkeypatch.setattr(leakage, "logits_on_test", numbered)
    models = models_on_test(config, pipeline, dev, test, nothing_more, 0, resources)
    for number, (name, subset) in enumerate(
        (("retrained", "without_leaked"), ("size_matched_control", "size_matched_control"))
    ):
        assert np.array_equal(learned[name], images_to_learn(subset, dev, 0))
        np.testing.assert_allclose(models[name].probability, expit((number + 1) / 3.0 - 1.0))
        assert models[name].member_probability.shape == (2, len(test))


@dataclass
class Peeking:
    """Scores an image right if and only if a near-duplicate of it is learned from."""

    dev: ImageSet

    def __call__(self, runs: Sequence[Run], label: str) -> list[RunResult]:
        return [self._result_of(run) for run in runs]

    def _result_of(self, run: Run) -> RunResult:
        known = np.isin(self.dev.group[run.score], self.dev.group[run.train])
        truth = np.where(self.dev.malignant[run.score], 3.0, -3.0)
        guess = np.random.default_rng(run.seed).normal(size=len(run.score))
        return RunResult(np.where(known, truth, guess).astype("f4"), np.ones(1), np.zeros(0))


def test_folds_that_duplicates_may_cross_reward_memory(
    config: TrainingConfig,
    dev: ImageSet,
    nothing_more: ImageSet,
    tiny_params: Params,
    resources: Resources,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leakage, "Executor", lambda *_: Peeking(dev))
    grouped = rng.normal(size=(2, len(dev))).astype(np.float32)
    found = effect_on_folds(config, dev, nothing_more, grouped, dev.label, tiny_params, resources)
    assert found["grouped_auc"] == single_auc(grouped, dev.malignant)
    gain = found["ungrouped_minus_grouped"]
    assert gain["auc"] == pytest.approx(found["ungrouped_auc"] - found["grouped_auc"])
    assert gain["auc_low"] <= gain["auc"] <= gain["auc_high"]
    assert found["by_image"]["true_class_probability"]["difference"]["gain_low"] > 0
    assert found["ungrouped_auc"] > 0.5
