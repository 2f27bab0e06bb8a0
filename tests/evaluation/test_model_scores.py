import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation import figures, model_scores
from breast_ultrasound.evaluation.curves import write_curves, write_risk_coverage
from breast_ultrasound.evaluation.metrics import bootstrap, headline_scores, scores
from breast_ultrasound.evaluation.model_scores import compare, subsets_of, summarise
from breast_ultrasound.model.classifier import Predictions
from breast_ultrasound.params import EvaluateParams

PARAMS = EvaluateParams(n_bootstrap=50, confidence=0.9)
CONTRAST = ("final", "baseline")
POINTS = {"baseline": {"half": 0.5}, "final": {"half": 0.5, "sensitivity_90": 0.3}}


@pytest.fixture
def test_set(dev_test: tuple[ImageSet, ImageSet]) -> ImageSet:
    return dev_test[1]


@pytest.fixture
def predictions(test_set: ImageSet, rng: np.random.Generator) -> dict[str, Predictions]:
    single = 0.5 * rng.random((3, len(test_set))) + 0.4 * test_set.malignant
    return {
        "baseline": Predictions(single[0], single[:1]),
        "final": Predictions(single.mean(axis=0), single),
    }


def test_the_summary_is_of_the_right_images(
    predictions: dict[str, Predictions], test_set: ImageSet
) -> None:
    evaluate = summarise(predictions, POINTS, test_set, PARAMS, seed=0)
    clean = ~test_set.leaked
    assert 0 < clean.sum() < len(test_set)
    for name, model in predictions.items():
        for subset, mask in (("test", clean | True), ("leak_free", clean)):
            expected = scores(test_set.malignant[mask], model.probability[mask])
            row = evaluate[name][subset]
            assert {key: row[key] for key in expected} == expected
            for key, value in expected.items():
                assert row[f"{key}_low"] <= row[f"{key}_high"]
                if key in ("auc", "accuracy"):
                    assert row[f"{key}_low"] <= value <= row[f"{key}_high"]
    members = [scores(test_set.malignant, p) for p in predictions["final"].member_probability]
    for score in ("auc", "accuracy"):
        row = evaluate["final"]["single"]["test"][score]
        assert row["mean"] == pytest.approx(np.mean([member[score] for member in members]))
        assert row["sd"] == pytest.approx(np.std([member[score] for member in members], ddof=1))
    assert evaluate["baseline"]["single"]["test"]["auc"]["sd"] == 0
    assert evaluate.keys() == {"baseline", "final", "final_minus_baseline"}


def test_differences_are_of_the_scores_and_paired(
    predictions: dict[str, Predictions], test_set: ImageSet
) -> None:
    tree = compare(predictions, test_set, [CONTRAST], scores, PARAMS, seed=0)
    for subset in ("test", "leak_free"):
        found = tree["final_minus_baseline"][subset]
        assert found["auc"] == tree["final"][subset]["auc"] - tree["baseline"][subset]["auc"]
        assert found.keys() == {
            f"{score}{end}" for score in ("auc", "accuracy") for end in ("", "_low", "_high")
        }
    same = {**predictions, "baseline": predictions["final"]}
    tree = compare(same, test_set, [CONTRAST], headline_scores, PARAMS, seed=0)
    row = tree["final_minus_baseline"]["test"]
    assert row == dict.fromkeys(row, 0)  # a model never differs from itself, in no resample


def test_contrasts_and_scores_are_those_asked_for(
    predictions: dict[str, Predictions], test_set: ImageSet
) -> None:
    contrasts = [CONTRAST, ("baseline", "final")]
    tree = compare(predictions, test_set, contrasts, headline_scores, PARAMS, seed=0)
    one, other = tree["final_minus_baseline"]["test"], tree["baseline_minus_final"]["test"]
    assert one["auc"] == -other["auc"]
    assert one["auc_low"] == pytest.approx(-other["auc_high"])
    assert {name.removesuffix("_low").removesuffix("_high") for name in tree["final"]["test"]} == {
        "auc",
        "accuracy",
    }
    alone = compare(predictions, test_set, [], headline_scores, PARAMS, seed=0)
    assert not any("final_minus" in name for name in alone)
    assert alone["final"] == tree["final"]  # more contrasts change no interval


def test_intervals_resample_duplicates_whole(
    predictions: dict[str, Predictions], test_set: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[np.ndarray] = []

    def watched(score: Any, group: np.ndarray, *rest: Any) -> Any:
        groups.append(group)
        return bootstrap(score, group, *rest)

    monkeypatch.setattr(model_scores, "bootstrap", watched)
    pairs = np.arange(len(test_set)) // 2
    compare(predictions, replace(test_set, group=pairs), [CONTRAST], scores, PARAMS, seed=0)
    assert [np.array_equal(group, pairs) for group in groups] == [True]


def test_leaked_and_leak_free_images_are_told_apart(test_set: ImageSet) -> None:
    """A model that is right on leaked images only."""
    leaked = np.zeros(len(test_set), dtype=bool)
    leaked[np.nonzero(test_set.malignant)[0][:3]] = True
    leaked[np.nonzero(~test_set.malignant)[0][:9]] = True
    images = replace(test_set, leaked=leaked)
    right = np.where(images.malignant, 0.9, 0.1)
    memory = Predictions(np.where(leaked, right, 1 - right), right[None])
    tree = compare({"final": memory}, images, [], headline_scores, PARAMS, seed=0)
    assert tree["leaked_minus_leak_free"]["final"]["auc"] == 1
    assert tree["leaked_minus_leak_free"]["final"]["accuracy_low"] == 1


def test_a_subset_of_one_class_is_left_out(
    predictions: dict[str, Predictions], test_set: ImageSet
) -> None:
    for leaked, kept in (
        (np.arange(len(test_set)) == 0, {"test", "leak_free"}),
        (np.ones(len(test_set), dtype=bool), {"test", "leaked"}),
        (np.zeros(len(test_set), dtype=bool), {"test", "leak_free"}),
    ):
        images = replace(test_set, leaked=leaked)
        assert subsets_of(images).keys() == kept
        assert summarise(predictions, POINTS, images, PARAMS, seed=0)["final"].keys() == {
            *kept,
            "single",
            "operating_points",
        }
        tree = compare(predictions, images, [], headline_scores, PARAMS, seed=0)
        assert "leaked_minus_leak_free" not in tree
    for mask, of in zip(
        subsets_of(test_set).values(), (True, ~test_set.leaked, test_set.leaked), strict=False
    ):
        assert np.array_equal(mask, np.ones(len(test_set), dtype=bool) & of)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_curves_say_what_the_scores_say(
    predictions: dict[str, Predictions], test_set: ImageSet, tmp_path: Path
) -> None:
    write_curves(predictions, test_set.malignant, tmp_path)
    for name, model in predictions.items():
        truth = scores(test_set.malignant, model.probability)
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
        risk = _rows(tmp_path / f"risk_coverage_{name}.csv")
        assert len(risk) == len(test_set)
        assert float(risk[-1]["coverage"]) == 1
        assert float(risk[-1]["risk"]) == pytest.approx(1 - truth["accuracy"])


def test_the_most_uncertain_images_are_referred_first(tmp_path: Path) -> None:
    malignant = np.array([True, True, False, False])
    probability = np.array([0.9, 0.4, 0.55, 0.01])
    write_risk_coverage(malignant, probability, tmp_path / "risk.csv")
    rows = [(float(row["coverage"]), float(row["risk"])) for row in _rows(tmp_path / "risk.csv")]
    assert rows == [(0.25, 0), (0.5, 0), (0.75, pytest.approx(1 / 3)), (1, 0.5)]


def test_the_same_results_give_the_same_picture(
    predictions: dict[str, Predictions], test_set: ImageSet, tmp_path: Path
) -> None:
    evaluate = summarise(predictions, POINTS, test_set, PARAMS, seed=0)
    for name in ("a.png", "b.png"):
        figures.results(evaluate, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
