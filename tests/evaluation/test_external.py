"""What a model is worth elsewhere, on made-up scores."""

from dataclasses import replace

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.external import (
    ScoredImages,
    evaluate_images,
    loess,
    net_benefit,
    recalibrated,
    score_rows,
    subgroup_rows,
    subgroup_table,
)
from breast_ultrasound.evaluation.metrics import calibration_line
from breast_ultrasound.files import InputError
from breast_ultrasound.params import EvaluateParams

INTERVAL = EvaluateParams(n_bootstrap=30, confidence=0.95)


def _scored(n_patients: int = 200, slope: float = 1.0, seed: int = 0) -> ScoredImages:
    """Return two images per patient; `slope` 1 is calibrated, more is overconfident."""
    rng = np.random.default_rng(seed)
    odds = np.repeat(rng.normal(-1, 1.5, n_patients), 2)
    malignant = np.repeat(rng.random(n_patients) < 1 / (1 + np.exp(-odds[::2])), 2)
    patient = np.repeat(np.arange(n_patients), 2).astype(str)
    device = np.where(np.arange(2 * n_patients) < 12, "rare", "common")
    images = ImageSet.of(
        np.zeros((2 * n_patients, 28, 28), np.uint8),
        malignant,
        patient=patient,
        columns={"Device": device},
    )
    images = replace(images, group=np.repeat(np.arange(n_patients), 2))
    return ScoredImages("a", "b", images, 1 / (1 + np.exp(-slope * odds)))


def test_a_patient_has_the_highest_probability_of_the_images() -> None:
    images = ImageSet.of(
        np.zeros((5, 28, 28), np.uint8),
        np.array([0, 1, 0, 0, 0], dtype=bool),
        patient=["a", "a", "b", "", ""],
    )
    patients = ScoredImages("", "", images, np.array([0.3, 0.2, 0.6, 0.1, 0.4])).per_patient()
    assert sorted(patients.probability.tolist()) == [0.1, 0.3, 0.4, 0.6]
    truth = dict(zip(patients.probability.tolist(), patients.images.malignant, strict=True))
    assert truth == {0.3: True, 0.6: False, 0.1: False, 0.4: False}


def test_a_local_calibration_repairs_the_slope() -> None:
    scored = _scored(slope=3.0)
    before = calibration_line(scored.images.malignant, scored.probability)
    after = recalibrated(scored)
    found = calibration_line(after.images.malignant, after.probability)
    assert before[0] == pytest.approx(1 / 3, abs=0.1)
    assert found[0] == pytest.approx(1, abs=0.2)
    assert found[1] == pytest.approx(0, abs=0.2)


def test_no_patient_is_calibrated_on_itself() -> None:
    scored = _scored()
    changed = scored.images.malignant.copy()
    changed[:2] ^= True  # of one patient
    other = replace(scored, images=replace(scored.images, malignant=changed))
    one, two = recalibrated(scored).probability, recalibrated(other).probability
    assert not np.array_equal(one, two)
    few = replace(scored, images=scored.images.subset(np.arange(6)), probability=one[:6])
    with pytest.raises(InputError, match="--recalibrate: expected at least 5 patients"):
        recalibrated(few)


def test_subgroups_with_few_images_are_counted_and_not_scored() -> None:
    content = evaluate_images(_scored(), {"half": 0.5}, ["Device"], False, INTERVAL, 0)
    rows = content["subgroups"]["Device"]
    assert rows["rare"].keys() == {"images", "malignant"}  # six patients of both classes
    assert rows["common"]["images"] == 388
    assert "auc_low" in rows["common"]
    assert content["per_image"]["images"] == 400
    assert content["per_patient"]["images"] == 200
    with pytest.raises(InputError, match="--by: expected columns of the table, got 'Stage'"):
        evaluate_images(_scored(), {}, ["Stage"], False, INTERVAL, 0)


def test_subgroups_of_one_class_have_what_it_says() -> None:
    scored = _scored()
    truth, right = scored.images.malignant, (scored.probability >= 0.5) == scored.images.malignant
    histology = np.where(truth, "carcinoma", "cyst")
    scored = replace(scored, images=replace(scored.images, columns={"Histology": histology}))
    rows = evaluate_images(scored, {}, ["Histology"], False, INTERVAL, 0)["subgroups"]["Histology"]
    ends = ("", "_low", "_high")
    assert rows["carcinoma"].keys() == {"images", "malignant", *(f"sensitivity{e}" for e in ends)}
    assert rows["cyst"].keys() == {"images", "malignant", *(f"specificity{e}" for e in ends)}
    assert rows["carcinoma"]["sensitivity"] == right[truth].mean()
    assert rows["cyst"]["specificity"] == right[~truth].mean()


def test_subgroups_of_several_models_stand_beside_each_other() -> None:
    both = [_scored(), replace(_scored(slope=3.0), learned_from="c")]
    rows = subgroup_rows(both, ["Device"], INTERVAL, 0)
    assert [(row["value"], row["learned_from"]) for row in rows] == [
        ("common", "a"), ("rare", "a"), ("common", "c"), ("rare", "c"),
    ]  # fmt: skip
    columns, table = subgroup_table(rows)
    assert dict(zip(columns, table[0], strict=True))["auc"] == rows[0]["auc"]
    assert dict(zip(columns, table[1], strict=True))["auc"] == ""


def test_rows_say_what_was_learned_and_scored() -> None:
    (row,) = score_rows([_scored()], INTERVAL, 0)
    assert (row["learned_from"], row["scored_on"], row["patients"]) == ("a", "b", 200)
    assert row["auc_low"] < row["auc"] < row["auc_high"]
    assert row["patient_auc"] == pytest.approx(row["auc"])  # images of a patient score alike


def test_net_benefit_by_hand() -> None:
    malignant = np.array([1, 1, 0, 0], dtype=bool)
    probability = np.array([0.9, 0.1, 0.3, 0.05])
    found = net_benefit(malignant, probability, np.array([0.2, 0.5]))
    np.testing.assert_allclose(found, [0.25 - 0.25 * 0.25, 0.25])


def test_loess_follows_a_line_and_smooths_noise(rng: np.random.Generator) -> None:
    x = np.sort(rng.random(200))
    places = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(loess(x, 2 * x - 1, places), 2 * places - 1, atol=1e-9)
    noisy = loess(x, x + rng.normal(0, 0.3, 200), places)
    assert np.abs(noisy - places).max() < 0.2
