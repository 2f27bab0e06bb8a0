import csv
from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation.curves import write_curves
from breast_ultrasound.evaluation.figures import results_figure
from breast_ultrasound.evaluation.judgement import Judged, summarise
from breast_ultrasound.evaluation.metrics import scores
from breast_ultrasound.params import EvaluateParams

PARAMS = EvaluateParams(n_bootstrap=50, confidence=0.9)


@pytest.fixture
def test_set(dev_test: tuple[ImageSet, ImageSet]) -> ImageSet:
    return dev_test[1]


@pytest.fixture
def judged(test_set: ImageSet, rng: np.random.Generator) -> dict[str, Judged]:
    noise = rng.random((3, len(test_set)))
    single = 0.5 * noise + 0.4 * test_set.malignant
    return {
        "baseline": Judged(single[0], single[:1], 0.5),
        "final": Judged(single.mean(axis=0), single, 0.4),
    }


def test_the_summary_is_of_the_right_images(judged: dict[str, Judged], test_set: ImageSet) -> None:
    summary = summarise(judged, test_set, PARAMS, seed=0)
    clean = ~test_set.leaked
    assert 0 < clean.sum() < len(test_set)
    for name, model in judged.items():
        for part, mask in (("test", clean | True), ("leak_free", clean)):
            expected = scores(test_set.malignant[mask], model.probability[mask], model.threshold)
            row = summary[name][part]
            assert {key: row[key] for key in expected} == expected
            for key, value in expected.items():
                assert row[f"{key}_low"] <= row[f"{key}_high"]
                if key in ("auc", "accuracy"):
                    assert row[f"{key}_low"] <= value <= row[f"{key}_high"]
    members = [scores(test_set.malignant, p, 0.4)["auc"] for p in judged["final"].single]
    assert summary["final"]["single"]["test"]["auc"]["mean"] == pytest.approx(np.mean(members))
    assert summary["baseline"]["single"]["test"]["auc"]["sd"] == 0


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_curves_say_what_the_scores_say(
    judged: dict[str, Judged], test_set: ImageSet, tmp_path: Path
) -> None:
    write_curves(judged, test_set.malignant, tmp_path)
    for name, model in judged.items():
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
    judged: dict[str, Judged], test_set: ImageSet, tmp_path: Path
) -> None:
    summary = summarise(judged, test_set, PARAMS, seed=0)
    for name in ("a.png", "b.png"):
        results_figure(summary, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
