"""The studies, called as studies/dvc.yaml calls them, after the pipeline."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.model_scores import subsets_of
from breast_ultrasound.model.artifact import load_model
from breast_ultrasound.model.classifier import predict
from tests.browser import Visit, needs_chromium, visit
from tests.stages.reads import BOTH, STUDIES, Reads, call, outputs
from tools.model_card import card
from tools.workspace import ROOT, TINY, write_params


def test_every_study_writes_what_its_pipeline_says_and_nothing_else(
    studied: tuple[Path, Reads], finished: tuple[Path, Reads]
) -> None:
    folder, _ = studied
    for name in [name for study in STUDIES for name in outputs(study)]:
        assert (folder / name).exists(), name
    named = {name for stage in BOTH for name in outputs(stage)}
    for kind in ("metrics", "plots"):
        for path in (folder / kind).rglob("*"):
            relative = path.relative_to(folder)
            if path.is_file():
                assert named & {str(relative), *map(str, relative.parents)}, relative
    for kind in ("data", "models"):
        for path in (folder / kind).rglob("*"):
            if path.is_file():
                before = finished[0] / path.relative_to(folder)
                assert path.read_bytes() == before.read_bytes(), path


def test_every_plot_of_the_studies_is_there(studied: tuple[Path, Reads]) -> None:
    for entry in yaml.safe_load((ROOT / "studies/dvc.yaml").read_text())["plots"]:
        axes = None if isinstance(entry, str) else next(iter(entry.values()))
        for name in [entry] if axes is None else axes["y"]:
            file = studied[0] / os.path.normpath(Path("studies") / name)
            assert file.stat().st_size > 0, name
            if axes is not None:
                with file.open() as rows:
                    columns = next(csv.reader(rows))
                y = axes["y"][name]
                assert {axes["x"], *([y] if isinstance(y, str) else y)} <= set(columns)


@pytest.mark.parametrize("study", STUDIES)
def test_params_are_those_that_the_study_reads(study: str, studied: tuple[Path, Reads]) -> None:
    assert sorted(studied[1].seen[study]) == STUDIES[study].get("params", [])


def test_metric_names_are_stable(studied: tuple[Path, Reads]) -> None:
    folder = studied[0] / "metrics" / "studies"
    metrics = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    ends = ("", "_low", "_high")
    leakage = metrics["leakage"]
    for name in ("final_minus_retrained", "size_matched_control_minus_retrained"):
        assert leakage[name]["test"].keys() == {
            f"{score}{end}" for score in ("auc", "accuracy") for end in ends
        }
    for model in ("baseline", "final", "retrained", "size_matched_control", "nearest_neighbour"):
        assert isinstance(leakage[model]["leak_free"]["auc"], float)
    assert leakage["folds"].keys() == {
        "grouped_auc",
        "ungrouped_auc",
        "ungrouped_minus_grouped",
        "by_image",
    }
    for name in ("trained_on", "scored_on"):
        assert leakage[name].startswith("portable: ")
    augmentation = metrics["augmentation"]
    assert augmentation.pop("trained_on").startswith("portable: ")
    test = ImageSet.load(studied[0] / "data/processed/test.npz")
    assert augmentation.keys() == {"folds", *subsets_of(test)}
    for row in augmentation.values():
        assert row.keys() == {"without", "with", *(f"auc{end}" for end in ends)}
    assert metrics["official_recipe"].pop("trained_on").startswith("fp32: cpu ")
    assert metrics["official_recipe"].keys() == {
        "fold_auc",
        "fold_auc_se",
        "single_auc",
        "accuracy",
    }
    assert metrics["references"]["network"]["minus_first"] == 0


def test_metric_names_of_what_is_compared_elsewhere_are_stable(
    studied: tuple[Path, Reads],
) -> None:
    folder = studied[0] / "metrics" / "studies"
    metrics = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    duplicates = metrics["duplicates"]
    assert duplicates["altered_copies"].keys() >= {"pairs", "false_at_most", "mirror", "shift_1"}
    assert duplicates["experts"].keys() >= {"recall", "precision", "experts_only", "ours_only"}
    external = metrics["external"]
    assert external.keys() == {
        "breastmnist_baseline_on_test", "breastmnist_baseline_on_bus_bra",
        "breastmnist_baseline_on_leak_free_test", "breastmnist_final_on_test",
        "breastmnist_final_on_bus_bra", "breastmnist_final_on_leak_free_test",
        "bus_bra_on_bus_bra", "bus_bra_on_test", "bus_bra_on_leak_free_test",
        "both_on_bus_bra", "both_on_dev_folds", "both_on_test", "both_on_leak_free_test",
        "scored_on", "trained_on",
    }  # fmt: skip
    assert external["both_on_bus_bra"]["images"] == 60  # two of each patient who reports
    assert external["both_on_bus_bra"]["patients"] == 30
    assert metrics["resolution"].keys() == {"28", "64", "128", "224", "trained_on"}


def test_studies_begin_from_the_pipelines_results(
    studied: tuple[Path, Reads], finished: tuple[Path, Reads]
) -> None:
    """The models on test and the estimate on folds are those that the pipeline's metrics name."""
    own, pipeline = (
        {path.stem: json.loads(path.read_text()) for path in (folder / kind).glob("*.json")}
        for folder, kind in ((studied[0], "metrics/studies"), (finished[0], "metrics"))
    )
    for model in ("baseline", "final"):
        for subset in ("test", "leak_free"):
            expected = pipeline["evaluate"][model][subset]["auc"]
            assert own["leakage"][model][subset]["auc"] == expected
    estimate = pipeline["cross_validate"]
    assert own["leakage"]["folds"]["grouped_auc"] == estimate["pooled"]["single_auc"]
    assert own["augmentation"]["folds"]["with"] == estimate["pooled"]["single_auc"]
    assert own["references"]["network"]["fold_auc"] == estimate["auc"]["mean"]


@pytest.mark.parametrize("study", STUDIES)
def test_missing_inputs_end_in_one_line_and_exit_code_2(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", TINY)
    result = call(study)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("study", [name for name in STUDIES if STUDIES[name].get("params")])
def test_bad_parameters_end_in_one_line_and_exit_code_2(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", TINY, {"lr": -1})
    result = call(study)
    assert result.exit_code == 2
    assert result.stderr == "error: params.yaml: lr: expected greater than 0, got -1\n"


def test_the_card_of_a_shipped_model_states_the_metrics(
    studied: tuple[Path, Reads], finished: tuple[Path, Reads]
) -> None:
    def read(path: str) -> str:
        folder = studied[0] if "studies/" in path else finished[0]
        return (folder / path).read_text(encoding="utf-8")

    model = json.loads((finished[0] / "models/final/model.json").read_text())
    text = card(read, model)
    _, head, body = text.split("---\n", 2)
    test = json.loads(read("metrics/evaluate.json"))["final"]["test"]
    results = yaml.safe_load(head)["model-index"][0]["results"]
    (own,) = (one for one in results if one["dataset"]["name"] == "BreastMNIST, test")
    found = {one["type"]: one["value"] for one in own["metrics"]}
    assert found == {"roc_auc": test["auc"], "accuracy": test["accuracy"]}
    assert f"{test['auc']:.3f} [{test['auc_low']:.3f}, {test['auc_high']:.3f}]" in body
    for point, value in model["operating_points"].items():
        assert f"| {point} | {value:.3f} |" in body
    assert "$" not in body


@pytest.fixture
def seen(studied: tuple[Path, Reads]) -> Iterator[Visit]:
    with visit((studied[0] / "report.html").as_uri()) as page:
        page.page.wait_for_selector("#chart-decision svg")
        yield page


def confusion(page: Page) -> list[int]:
    return [int(page.inner_text(f"#{name}")) for name in ("tp", "fn", "fp", "tn")]


@needs_chromium
def test_all_charts_are_drawn_without_an_error_and_nothing_is_fetched(seen: Visit) -> None:
    charts = seen.page.query_selector_all(".chart")
    assert len(charts) >= 8
    assert all(chart.query_selector("svg") for chart in charts)
    assert not seen.errors
    assert not seen.outside


@needs_chromium
def test_the_slider_moves_the_numbers_to_the_right_ones(
    seen: Visit, studied: tuple[Path, Reads]
) -> None:
    folder, page = studied[0], seen.page
    images, model = (
        ImageSet.load(folder / "data/processed/test.npz"),
        load_model(folder / "models/final"),
    )
    probability = predict(model.classifier(), images.images, "cpu").probability
    for threshold in (0.2, float(np.median(probability)), 0.9):
        page.eval_on_selector(
            "#threshold",
            "(e, value) => { e.value = value; e.dispatchEvent(new Event('input')); }",
            threshold,
        )
        page.fill("#prevalence", "10")
        said = probability.round(6) >= threshold
        hit, miss = int((said & images.malignant).sum()), int((~said & images.malignant).sum())
        alarm, well = int((said & ~images.malignant).sum()), int((~said & ~images.malignant).sum())
        assert confusion(page) == [hit, miss, alarm, well]
        sensitivity, specificity = hit / (hit + miss), well / (well + alarm)
        assert page.inner_text("#sensitivity") == f"{sensitivity:.3f}"
        true, false = 0.1 * sensitivity, 0.9 * (1 - specificity)
        expected = f"{true / (true + false):.3f}" if true + false else "–"
        assert page.inner_text("#ppv") == expected


@needs_chromium
def test_the_keyboard_moves_the_slider_and_the_buttons(seen: Visit) -> None:
    page = seen.page
    page.focus("#threshold")
    before = page.inner_text("#threshold-value")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#threshold-value") != before
    page.focus("button[data-threshold]")
    page.keyboard.press("Enter")
    assert page.inner_text("#threshold-value") == "0.500"


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(studied: tuple[Path, Reads], scheme: str) -> None:
    address = (studied[0] / "report.html").as_uri()
    options = {"color_scheme": scheme, "bypass_csp": True}
    with visit(address, **options, viewport={"width": 390, "height": 800}) as phone:
        phone.page.wait_for_selector("#chart-decision svg")
        found = Axe().run(phone.page).response["violations"]
        serious = [row["id"] for row in found if row["impact"] in {"serious", "critical"}]
        assert not serious
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
