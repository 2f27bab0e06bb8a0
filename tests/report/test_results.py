"""What a report reads of a revision."""

import json
from typing import Any

import pytest

from breast_ultrasound.files import InputError
from breast_ultrasound.report.results import (
    Headline,
    changed_params,
    compared,
    headlines,
    read_results,
)

PARAMS = "data:\n  name: breastmnist\n  show_images: false\nevaluate:\n  confidence: 0.9\n"


def scores(auc: float) -> dict[str, float]:
    return {"auc": auc, "auc_low": auc - 0.1, "auc_high": auc + 0.1}


@pytest.fixture
def files() -> dict[str, str]:
    """The files of a project whose studies are of its final model."""
    metrics: dict[str, Any] = {
        "evaluate": {"final": {"test": scores(0.9)}, "baseline": {"test": scores(0.8)}},
        "studies/external": {
            "breastmnist_final_on_test": scores(0.9),
            "breastmnist_final_on_bus_bra": {"images": 7, **scores(0.7)},
            "both_on_bus_bra": scores(0.75),
        },
    }
    texts = {f"metrics/{name}.json": json.dumps(content) for name, content in metrics.items()}
    return {**texts, "params.yaml": PARAMS}


def test_another_hospital_stands_first(files: dict[str, str]) -> None:
    rows = headlines(read_results(files.get, "here"))
    assert [row.scores["auc"] for row in rows] == [0.7, 0.75, 0.9, 0.8]
    assert rows[0].scored_on == "another hospital, 7 images"


def test_studies_of_another_model_are_left_out(files: dict[str, str]) -> None:
    other = {"final": {"test": scores(0.91)}, "baseline": {"test": scores(0.8)}}
    results = read_results({**files, "metrics/evaluate.json": json.dumps(other)}.get, "here")
    assert results.other_studies
    assert "studies/external" not in results.metrics


@pytest.mark.parametrize("missing", ["params.yaml", "metrics/evaluate.json"])
def test_without_results_there_is_no_report(files: dict[str, str], missing: str) -> None:
    del files[missing]
    with pytest.raises(InputError, match=r"here: no params\.yaml and metrics"):
        read_results(files.get, "here")


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_damaged_metrics_are_named(files: dict[str, str], text: str) -> None:
    files["metrics/evaluate.json"] = text
    with pytest.raises(InputError, match=r"metrics/evaluate\.json, here: no JSON object"):
        read_results(files.get, "here")


@pytest.mark.parametrize(
    ("name", "show", "private"),
    [("images", "false", True), ("images", "true", False), ("phantom", "false", False)],
)
def test_only_own_images_may_be_private(
    files: dict[str, str], name: str, show: str, private: bool
) -> None:
    files["params.yaml"] = PARAMS.replace("breastmnist", name).replace("false", show)
    assert read_results(files.get, "here").of_own_images() == private


def test_parameters_that_came_went_or_changed_are_told() -> None:
    old, new = "a: {b: 1, c: null}\nlr: 0.1\n", "a: {b: 2}\nlr: 0.1\nd: [1, 2]\n"
    assert changed_params(old, new) == [
        ("a.b", "1", "2"),
        ("a.c", "null", "–"),
        ("d", "–", "[1, 2]"),
    ]


def test_only_what_both_revisions_have_is_compared() -> None:
    now = [Headline("final", "test", scores(0.9)), Headline("final", "clean", scores(0.8))]
    before = [Headline("final", "test", scores(0.7))]
    assert compared(now, before) == [
        {"model": "final", "scored_on": "test", "before": 0.7, "now": 0.9}
    ]
