import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation import figures, model_scores
from breast_ultrasound.evaluation.calibration import Decision
from breast_ultrasound.evaluation.curves import write_curves
from breast_ultrasound.evaluation.metrics import bootstrap, scores
from breast_ultrasound.evaluation.model_scores import (
    Predictions,
    compare,
    nearest_neighbour_predictions,
    predict_with,
    summarise,
    threshold_rows,
)
from breast_ultrasound.model.artifact import Ensemble, ModelCard
from breast_ultrasound.model.training import TrainingConfig, fit, weights_of
from breast_ultrasound.params import EvaluateParams
from tests.conftest import CPU

PARAMS = EvaluateParams(n_bootstrap=50, confidence=0.9)


@pytest.fixture
def test_set(dev_test: tuple[ImageSet, ImageSet]) -> ImageSet:
    return dev_test[1]


@pytest.fixture
def predictions(test_set: ImageSet, rng: np.random.Generator) -> dict[str, Predictions]:
    noise = rng.random((3, len(test_set)))
    single = 0.5 * noise + 0.4 * test_set.malignant
    return {
        "baseline": Predictions(single[0], single[:1], 0.5),
        "final": Predictions(single.mean(axis=0), single, 0.4),
        "retrained": Predictions(single[1], single[1:2], 0.4),
        "control": Predictions(single[2], single[2:], 0.4),
        "nearest_neighbour": Predictions(np.round(single[2]), np.round(single[2:]), 0.5),
    }


def test_the_summary_is_of_the_right_images(
    predictions: dict[str, Predictions], test_set: ImageSet
) -> None:
    evaluate, leakage = summarise(predictions, test_set, PARAMS, seed=0)
    clean = ~test_set.leaked
    assert 0 < clean.sum() < len(test_set)
    for name in ("baseline", "final"):
        model = predictions[name]
        for part, mask in (("test", clean | True), ("leak_free", clean)):
            expected = scores(test_set.malignant[mask], model.probability[mask], model.threshold)
            row = evaluate[name][part]
            assert {key: row[key] for key in expected} == expected
            for key, value in expected.items():
                assert row[f"{key}_low"] <= row[f"{key}_high"]
                if key in ("auc", "accuracy"):
                    assert row[f"{key}_low"] <= value <= row[f"{key}_high"]
        assert evaluate[name]["threshold"] == model.threshold
    members = [scores(test_set.malignant, p, 0.4)["auc"] for p in predictions["final"].single]
    assert evaluate["final"]["single"]["test"]["auc"]["mean"] == pytest.approx(np.mean(members))
    assert evaluate["baseline"]["single"]["test"]["auc"]["sd"] == 0
    assert leakage["retrained"]["test"].keys() == {
        f"{score}{end}" for score in ("auc", "accuracy") for end in ("", "_low", "_high")
    }


def test_differences_are_of_the_scores_and_paired(
    predictions: dict[str, Predictions], test_set: ImageSet
) -> None:
    tree = compare(predictions, test_set, PARAMS, seed=0)
    for other in ("baseline", "retrained"):
        for part in ("test", "leak_free"):
            found = tree[f"final_minus_{other}"][part]["auc"]
            assert found == tree["final"][part]["auc"] - tree[other][part]["auc"]
    same = {**predictions, "retrained": predictions["final"]}
    row = compare(same, test_set, PARAMS, seed=0)["final_minus_retrained"]["test"]
    assert row == dict.fromkeys(row, 0)  # a model never differs from itself, in no resample


def test_intervals_resample_duplicates_whole(
    predictions: dict[str, Predictions], test_set: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[np.ndarray] = []

    def watched(score: Any, group: np.ndarray, *rest: Any) -> Any:
        groups.append(group)
        return bootstrap(score, group, *rest)

    monkeypatch.setattr(model_scores, "bootstrap", watched)
    pairs = np.arange(len(test_set)) // 2
    compare(predictions, replace(test_set, group=pairs), PARAMS, seed=0)
    assert [np.array_equal(group, pairs) for group in groups] == [True]


def test_models_are_scored_as_their_cards_say(
    card: ModelCard, config: TrainingConfig, test_set: ImageSet
) -> None:
    network = weights_of(fit(config, test_set.images, test_set.malignant, 0, CPU).model)
    other = {**network, "fc.bias": network["fc.bias"] + 1}
    answers = predict_with(Ensemble(card, [network, other]), test_set.images, CPU)
    logits = Ensemble(card, [network]).predict(test_set.images, CPU)[0].astype(float)
    decision = Decision(3.0, -1.0, 0.3)
    expected = [decision.probability(logits + shift) for shift in (0.0, 0.5, 1.0)]
    assert answers.threshold == 0.3
    np.testing.assert_allclose(answers.probability, expected[1], atol=1e-5)
    np.testing.assert_allclose(answers.single, expected[::2], atol=1e-5)


def test_leaked_and_leak_free_images_are_told_apart(test_set: ImageSet) -> None:
    """A model that is right on leaked images only."""
    leaked = np.zeros(len(test_set), dtype=bool)
    leaked[np.nonzero(test_set.malignant)[0][:3]] = True
    leaked[np.nonzero(~test_set.malignant)[0][:9]] = True
    images = replace(test_set, leaked=leaked)
    right = np.where(images.malignant, 0.9, 0.1)
    memory = Predictions(np.where(leaked, right, 1 - right), right[None], 0.5)
    names = ("baseline", "final", "retrained", "control", "nearest_neighbour")
    tree = compare(dict.fromkeys(names, memory), images, PARAMS, seed=0)
    assert tree["leaked_minus_leak_free"]["final"]["auc"] == 1
    assert tree["leaked_minus_leak_free"]["final"]["accuracy_low"] == 1


def test_a_part_of_one_class_is_left_out(
    predictions: dict[str, Predictions], test_set: ImageSet
) -> None:
    images = replace(test_set, leaked=np.arange(len(test_set)) == 0)
    evaluate, leakage = summarise(predictions, images, PARAMS, seed=0)
    assert evaluate["final"].keys() == {"test", "leak_free", "single", "threshold"}
    assert "leaked_minus_leak_free" not in leakage
    everything = replace(test_set, leaked=np.ones(len(test_set), dtype=bool))
    evaluate, leakage = summarise(predictions, everything, PARAMS, seed=0)
    assert evaluate["final"].keys() == {"test", "leaked", "single", "threshold"}
    assert "leaked_minus_leak_free" not in leakage


def test_memory_copies_the_label_of_the_most_similar_image(
    dev_test: tuple[ImageSet, ImageSet],
) -> None:
    dev, test = dev_test
    answers = nearest_neighbour_predictions(dev.subset(np.arange(len(dev)) % 2 == 0), dev)
    assert np.array_equal(answers.probability == 1, dev.malignant[::2])  # each finds itself
    mirrored = replace(test, images=test.images[:, :, ::-1])
    assert np.array_equal(
        nearest_neighbour_predictions(test, dev).probability,
        nearest_neighbour_predictions(mirrored, dev).probability,
    )


def test_fewer_images_are_leak_free_as_the_threshold_falls(
    predictions: dict[str, Predictions], dev_test: tuple[ImageSet, ImageSet]
) -> None:
    dev, test = dev_test
    columns, rows = threshold_rows(predictions, test, dev)
    assert columns[:2] == ["near_duplicate_correlation", "leak_free_images"]
    counts = [row[1] for row in rows]
    assert counts == sorted(counts)
    at = {row[0]: row for row in rows}
    assert at[0.95][1] == (~test.leaked).sum()
    expected = predictions["final"].scores(test.malignant, ~test.leaked)["auc"]
    assert at[0.95][columns.index("final_auc")] == expected


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_curves_say_what_the_scores_say(
    predictions: dict[str, Predictions], test_set: ImageSet, tmp_path: Path
) -> None:
    write_curves(predictions, test_set.malignant, tmp_path)
    for name, model in predictions.items():
        truth = scores(test_set.malignant, model.probability, model.threshold)
        roc = _rows(tmp_path / f"roc_{name}.csv")
        x = [float(row["false_positive_rate"]) for row in roc]
        y = [float(row["true_positive_rate"]) for row in roc]
        assert np.trapezoid(y, x) == pytest.approx(truth["auc"], abs=1e-4)
        confusion = _rows(tmp_path / f"confusion_{name}.csv")
        right = sum(row["actual"] == row["predicted"] for row in confusion)
        assert right / len(confusion) == pytest.approx(truth["accuracy"])
        histogram = _rows(tmp_path / f"histogram_{name}.csv")
        assert sum(int(row["malignant"]) for row in histogram) == test_set.malignant.sum()
        calibration = _rows(tmp_path / f"calibration_{name}.csv")
        assert sum(int(row["n_images"]) for row in calibration) == len(test_set)


def test_the_same_results_give_the_same_picture(
    predictions: dict[str, Predictions], test_set: ImageSet, tmp_path: Path
) -> None:
    evaluate, leakage = summarise(predictions, test_set, PARAMS, seed=0)
    for name in ("a.png", "b.png"):
        figures.results(evaluate, tmp_path / name)
        figures.leakage(leakage, tmp_path / f"leakage_{name}")
    assert (tmp_path / "leakage_a.png").read_bytes() == (tmp_path / "leakage_b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
