"""The stages, called as dvc.yaml calls them, in a folder of their own."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file as load
from typer.testing import CliRunner

from breast_ultrasound.cli.app import app
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.evaluation.calibration import choose_decision
from breast_ultrasound.evaluation.metrics import auc
from breast_ultrasound.files import read_arrays, write_arrays
from breast_ultrasound.model.artifact import ModelCard, save_model
from breast_ultrasound.model.training import TrainingConfig, read_config
from breast_ultrasound.params import load_params
from breast_ultrasound.runs import execute
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.cross_validation import cross_validate
from breast_ultrasound.search.final_models import read_out_of_fold
from breast_ultrasound.search.fold_runs import run_on, start_config
from breast_ultrasound.search.grid import apply_setting
from tests.stages.reads import STAGES, Reads, call, outputs
from tools.workspace import ROOT, TINY, write_params


def test_every_stage_writes_what_dvc_yaml_says_and_nothing_else(
    finished: tuple[Path, Reads],
) -> None:
    folder, _ = finished
    named = {name for stage in STAGES for name in outputs(stage)}
    for name in named:
        assert (folder / name).exists(), name
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] in ("data", "metrics", "plots", "models"):
            assert named & {str(relative), *map(str, relative.parents)}, relative


def test_every_plot_of_dvc_yaml_is_there(finished: tuple[Path, Reads]) -> None:
    for entry in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]:
        for name in [entry] if isinstance(entry, str) else next(iter(entry.values()))["y"]:
            assert (finished[0] / name).stat().st_size > 0, name


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_leaves_that_the_stage_reads(
    stage: str, finished: tuple[Path, Reads]
) -> None:
    assert sorted(finished[1].seen[stage]) == STAGES[stage]["params"]


def test_metric_names_are_stable(finished: tuple[Path, Reads]) -> None:
    metrics = {
        path.stem: json.loads(path.read_text()) for path in (finished[0] / "metrics").iterdir()
    }
    for model in ("baseline", "final"):
        for part in ("test", "leak_free"):
            for score in ("auc", "accuracy", "sensitivity", "specificity", "f1", "aupr", "brier"):
                for suffix in ("", "_low", "_high"):
                    assert isinstance(metrics["evaluate"][model][part][score + suffix], float)
    assert metrics["data"]["near_duplicates"].keys() >= {
        "pairs",
        "cross_split_pairs",
        "conflicting_pairs",
        "groups",
        "leaked_test_images",
    }
    for score in ("auc", "accuracy", "f1"):
        assert metrics["cross_validate"][score].keys() == {"mean", "sd"}
        assert metrics["cross_validate"]["ungrouped"][score].keys() == {"mean", "sd"}
    assert metrics["leakage"]["final_minus_retrained"]["test"].keys() == {
        f"{score}{suffix}" for score in ("auc", "accuracy") for suffix in ("", "_low", "_high")
    }
    assert metrics["tune_lr"].keys() == {"lr", "source", "auc", "trained_on"}
    assert metrics["tune_lr"]["source"] == "search"
    grid = metrics["grid_search"]
    counts = {name: value for name, value in grid.items() if name.startswith("n_")}
    assert counts == {"n_settings": 3, "n_finalists": 2, "n_diverged": 0}
    assert grid.keys() == {"auc", "auc_sd", *counts, "chosen", "trained_on"}


def test_metrics_name_the_machine_where_it_decides(finished: tuple[Path, Reads]) -> None:
    """The same bytes are promised for one kind of machine: where networks compute."""
    for name, stage in STAGES.items():
        computes = "src/breast_ultrasound/model/training.py" in stage["deps"]
        for file in (file for file in outputs(name) if file.startswith("metrics/")):
            content = json.loads((finished[0] / file).read_text())
            said = content.get("trained_on") or content.get("scored_on")
            assert bool(said) == computes, file
            assert not computes or re.fullmatch(r"(cpu|cuda) .+, (fp32|bf16)", said)


def test_another_machine_changes_numbers_and_what_it_says_of_itself(
    finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU, or a CPU without bf16, as far as a precision stands for them."""
    real = execute.find_hardware("cpu")
    other = replace(real, precision="fp32" if real.precision == "bf16" else "bf16")
    monkeypatch.setattr(execute, "find_hardware", lambda device: other)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BREAST_ULTRASOUND_CACHE", str(finished[0] / "cache"))
    monkeypatch.setenv("BREAST_ULTRASOUND_WORKERS", "1")
    write_params(tmp_path / "params.yaml", TINY)
    (tmp_path / "data").symlink_to(finished[0] / "data")
    result = call("cross_validate", "--out-of-fold", "out_of_fold.npz")
    assert result.exit_code == 0, result.output
    here, there = (
        json.loads((place / "metrics" / "cross_validate.json").read_text())
        for place in (finished[0], tmp_path)
    )
    assert (here.pop("trained_on"), there.pop("trained_on")) == (
        execute.describe(real),
        execute.describe(other),
    )
    assert here != there
    assert _shape(here) == _shape(there)


def _shape(content: Any) -> Any:
    """Return nested dicts with the type of each value in its place."""
    if isinstance(content, dict):
        return {key: _shape(value) for key, value in content.items()}
    return type(content)


def test_the_final_model_decides_by_out_of_fold_scores(finished: tuple[Path, Reads]) -> None:
    card = json.loads((finished[0] / "models" / "final" / "model.json").read_text())
    pooled = json.loads((finished[0] / "metrics" / "cross_validate.json").read_text())["pooled"]
    assert card["scores"]["out_of_fold_auc"] == pytest.approx(pooled["auc"], abs=1e-5)
    sections = {"model", "training", "augment"}
    assert card["config"].keys() == {
        "lr",
        *sections,
        "test_time_augmentation",
        "recalibrate_batch_norm",
    }
    assert card["versions"].keys() >= {"torch", "numpy"}


def test_searches_and_estimate_keep_duplicates_together(
    finished: tuple[Path, Reads], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every number comes again from grouped folds, whose trainings are all in the cache."""
    folder, _ = finished
    monkeypatch.setattr(execute, "train", lambda *_: pytest.fail("not what the stage trained"))
    params = load_params(folder / "params.yaml")
    dev = ImageSet.load(folder / "data/processed/dev.npz")
    folds = make_folds(dev.malignant, dev.group, params.folds.n_splits, params.seed)
    trained = execute.Executor(
        dev.images, dev.malignant, execute.find_resources("cpu", 1, folder / "cache")
    )

    def mean_auc(config: TrainingConfig, n_folds: int) -> float:
        results = trained([run_on(config, fold) for fold in folds[:n_folds]], "")
        return mean(
            auc(dev.malignant[fold.score], result.logits)
            for fold, result in zip(folds, results, strict=False)
        )

    metrics = {path.stem: json.loads(path.read_text()) for path in (folder / "metrics").iterdir()}
    start = start_config(params, metrics["tune_lr"]["lr"])
    tuned = mean_auc(start, params.tune_lr.n_folds)
    assert metrics["tune_lr"]["auc"] == pytest.approx(tuned, rel=1e-5)
    chosen = read_config(folder / "data/chosen.json")
    assert chosen == apply_setting(start, metrics["grid_search"]["chosen"])
    best = mean_auc(chosen, params.grid_search.n_folds)
    assert metrics["grid_search"]["auc"] == pytest.approx(best, rel=1e-5)
    again = cross_validate(chosen, dev, params.folds.n_splits, 1, params.seed, trained)
    out_of_fold = read_out_of_fold(folder / "data/out_of_fold.npz", len(dev))
    assert np.array_equal(out_of_fold, again.logits[0])
    card = json.loads((folder / "models/final/model.json").read_text())
    decision = choose_decision(out_of_fold, dev.malignant)
    assert (card["temperature"], card["offset"]) == (decision.temperature, decision.offset)


@pytest.mark.parametrize("name", ["baseline", "final", "retrained", "control"])
def test_each_model_is_scored_under_its_own_name(
    name: str, finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model in one's place changes what is said of that one, and of no other."""
    for part in ("data", "models", "metrics"):
        shutil.copytree(finished[0] / part, tmp_path / part)
    write_params(tmp_path / "params.yaml", TINY)
    monkeypatch.chdir(tmp_path)
    before = _judged(tmp_path)
    card = json.loads((tmp_path / "models" / name / "model.json").read_text())
    weights = tmp_path / "models" / name / "member_0.safetensors"
    turned = {key: -array if key == "fc.weight" else array for key, array in load(weights).items()}
    save_model(weights.parent, ModelCard.model_validate(card), [turned])
    assert call("evaluate").exit_code == 0
    after = _judged(tmp_path)
    assert {model for model in before if before[model] != after[model]} == {name}


def _judged(folder: Path) -> dict[str, float]:
    """Return the AUC on test by the model's name in the metrics."""
    said = [
        json.loads((folder / "metrics" / f"{m}.json").read_text()) for m in ("evaluate", "leakage")
    ]
    names = ("baseline", "final", "retrained", "control")
    return {name: row[name]["test"]["auc"] for name in names for row in said if name in row}


def test_a_pinned_rate_skips_the_search(
    finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", TINY, {"lr": 0.00123456789})
    result = call("tune_lr")  # there is no dev.npz here: it is not needed
    assert result.exit_code == 0
    assert json.loads(Path("metrics/tune_lr.json").read_text()) == {
        "lr": 0.00123456789,
        "source": "params.yaml",
    }


@pytest.mark.parametrize(("stage", "n"), [("tune_lr", 1), ("grid_search", 2)])
def test_trainings_that_diverge_are_warned_of_and_only_all_are_an_error(
    stage: str,
    n: int,
    finished: tuple[Path, Reads],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("data", "metrics"):
        shutil.copytree(finished[0] / name, tmp_path / name)
    write_params(tmp_path / "params.yaml", TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BREAST_ULTRASOUND_WORKERS", "1")
    diverging: list[Run] = []

    def train(run: Run, *_: object) -> RunResult:
        logits = np.random.default_rng(0).normal(size=len(run.score)).astype(np.float32)
        if len(diverging) < n:
            diverging.append(run)
            logits *= np.nan
        return RunResult(logits, np.zeros(1), np.zeros(0))

    monkeypatch.setattr(execute, "train", train)
    monkeypatch.setenv("BREAST_ULTRASOUND_CACHE", str(tmp_path / "cache"))
    result = call(stage)
    assert result.exit_code == 0, result.output
    assert re.search(rf"warning: {n} of \d (trials|settings) diverged", result.stderr)
    n = 1000
    monkeypatch.setenv("BREAST_ULTRASOUND_CACHE", str(tmp_path / "other"))
    result = call(stage)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: expected a ")
    assert "lower" in result.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_bad_parameters_end_in_one_line_and_exit_code_2(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", TINY, {"lr": -1})
    result = call(stage)
    assert result.exit_code == 2
    assert result.stderr == "error: params.yaml: lr: expected greater than 0, got -1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "download"])
def test_missing_inputs_end_in_one_line_and_exit_code_2(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", TINY)
    result = call(stage)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: data/")
    assert "no such file; run `dvc repro`" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_the_clean_split_is_the_file_that_resplit_writes(
    phantom_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", TINY, {"data": {"split": "clean"}})
    raw = Path("data/raw/breastmnist.npz")
    raw.parent.mkdir(parents=True)
    raw.write_bytes(phantom_file.read_bytes())
    assert call("preprocess").exit_code == 0
    assert CliRunner().invoke(app, ["resplit", str(raw), "clean.npz"]).exit_code == 0
    file = read_arrays(Path("clean.npz"), ["test_images", "test_labels"])
    test = read_arrays(Path("data/processed/test.npz"), ["images", "malignant", "leaked"])
    assert np.array_equal(file["test_images"], test["images"])
    assert np.array_equal(file["test_labels"][:, 0] == 0, test["malignant"])
    assert not test["leaked"].any()


def _spoil(raw: Path, change: Callable[[dict[str, Any]], None]) -> None:
    arrays: dict[str, Any] = make_phantoms(90, seed=0)
    change(arrays)
    write_arrays(raw, arrays)


def test_a_wrong_file_leaves_earlier_outputs_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", TINY)
    raw = Path("data/raw/breastmnist.npz")
    _spoil(raw, lambda arrays: None)
    assert call("preprocess").exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    _spoil(raw, lambda arrays: arrays.update(val_labels=arrays["val_labels"] + 1))
    result = call("preprocess")
    assert result.exit_code == 2
    assert "val_labels: expected labels 0 (malignant) and 1" in result.stderr
    for path, content in before.items():
        if path.name != raw.name:
            assert path.read_bytes() == content


def test_a_class_that_no_fold_can_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", TINY, {"folds": {"n_splits": 20}})

    def one_malignant_image(arrays: dict[str, Any]) -> None:
        for split in ("train", "val", "test"):
            arrays[f"{split}_labels"][:] = 1
            arrays[f"{split}_labels"][0] = 0

    _spoil(Path("data/raw/breastmnist.npz"), one_malignant_image)
    assert call("preprocess").exit_code == 0
    result = call("tune_lr")
    assert result.exit_code == 2
    assert "folds.n_splits: expected at most 2, the images of the rarer class" in result.stderr


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", TINY)
    Path("data").write_text("a file where a folder should be")
    result = call("download")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: data")
    assert "writable" in result.stderr


def test_a_model_of_another_kind_is_refused(
    finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished[0])
    card = json.loads((finished[0] / "models" / "final" / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**card, "seeds": "many"}))
    result = call("evaluate", "--final", str(tmp_path))
    assert result.exit_code == 2
    assert "model.json: seeds" in result.stderr


def test_importing_a_stage_loads_nothing_heavy() -> None:
    """`--help` must answer at once; the time is measured in benchmarks."""
    for stage in (ROOT / "stages").glob("[a-z]*.py"):
        asked = f"import sys, stages.{stage.stem}; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", asked], cwd=ROOT, text=True, capture_output=True, check=True
        )
        heavy = {"torch", "numpy", "pydantic", "sklearn", "optuna", "matplotlib", "joblib"}
        assert not heavy & set(done.stdout.split()), stage
