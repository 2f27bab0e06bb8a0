"""The stages, called as dvc.yaml calls them, in a folder of their own."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file as load
from typer.testing import CliRunner

from breast_ultrasound.cli.app import app
from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.files import read_arrays, write_arrays
from breast_ultrasound.model.artifact import ModelCard, TrainedModel, save_model
from breast_ultrasound.model.training import TrainingConfig, read_config
from breast_ultrasound.params import load_params
from breast_ultrasound.ranking import auc
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.cross_validation import cross_validate
from breast_ultrasound.search.final_models import read_out_of_fold
from breast_ultrasound.search.fold_runs import run_on, start_config
from breast_ultrasound.search.grid import apply_setting
from tests.sheets import pixels
from tests.stages.reads import BOTH, STAGES, Reads, call, outputs
from tools.workspace import ROOT, TINY, stage_command, write_params


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
def test_params_are_those_that_the_stage_reads(stage: str, finished: tuple[Path, Reads]) -> None:
    assert sorted(finished[1].seen[stage]) == STAGES[stage]["params"]


def test_metric_names_are_stable(finished: tuple[Path, Reads]) -> None:
    metrics = {
        path.stem: json.loads(path.read_text()) for path in (finished[0] / "metrics").iterdir()
    }
    for model in ("baseline", "final"):
        for subset in ("test", "leak_free"):
            for score in ("auc", "accuracy", "sensitivity", "specificity", "f1", "aupr", "brier"):
                for suffix in ("", "_low", "_high"):
                    assert isinstance(metrics["evaluate"][model][subset][score + suffix], float)
    assert metrics["data"]["near_duplicates"].keys() >= {
        "pairs",
        "cross_split_pairs",
        "conflicting_pairs",
        "groups",
        "leaked_test_images",
    }
    for score in ("auc", "accuracy", "f1"):
        assert metrics["cross_validate"][score].keys() == {"mean", "sd"}
    assert metrics["evaluate"]["final_minus_baseline"]["test"].keys() == {
        f"{score}{suffix}" for score in ("auc", "accuracy") for suffix in ("", "_low", "_high")
    }
    assert metrics["tune_lr"].keys() == {"lr", "source", "auc", "trained_on"}
    assert metrics["tune_lr"]["source"] == "search"
    grid = metrics["grid_search"]
    counts = {name: value for name, value in grid.items() if name.startswith("n_")}
    assert counts == {"n_settings": 3, "n_finalists": 2, "n_diverged": 0}
    assert grid.keys() == {"auc", "auc_sd", *counts, "chosen", "trained_on"}


def test_metrics_name_the_arithmetic_where_it_decides(finished: tuple[Path, Reads]) -> None:
    """The same bytes are promised for one arithmetic: where networks compute."""
    for name, stage in STAGES.items():
        computes = "src/breast_ultrasound/model/training.py" in stage["deps"]
        for file in (file for file in outputs(name) if file.startswith("metrics/")):
            content = json.loads((finished[0] / file).read_text())
            stated = content.get("trained_on") or content.get("scored_on")
            assert bool(stated) == computes, file
            assert not computes or re.match(r"portable: \w+", stated)


def test_another_arithmetic_changes_numbers_and_what_they_say_of_themselves(
    finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BREAST_ULTRASOUND_CACHE", str(finished[0] / "cache"))
    monkeypatch.setenv("BREAST_ULTRASOUND_DEVICE", "cpu")
    monkeypatch.setenv("BREAST_ULTRASOUND_WORKERS", "1")
    write_params(tmp_path / "params.yaml", TINY)
    (tmp_path / "data").symlink_to(finished[0] / "data")
    chosen = json.loads(Path("data/chosen.json").read_text())
    chosen["training"]["arithmetic"] = "bf16"
    Path("chosen.json").write_text(json.dumps(chosen))
    result = call("cross_validate", "--config", "chosen.json", "--out-of-fold", "out_of_fold.npz")
    assert result.exit_code == 0, result.output
    here, there = (
        json.loads((place / "metrics" / "cross_validate.json").read_text())
        for place in (finished[0], tmp_path)
    )
    assert here.pop("trained_on").startswith("portable: ")
    assert there.pop("trained_on").startswith("bf16: cpu ")
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
    monkeypatch.setattr(
        Executor, "_train_once", lambda *_: pytest.fail("not what the stage trained")
    )
    params = load_params(folder / "params.yaml")
    dev = ImageSet.load(folder / "data/processed/dev.npz")
    folds = make_folds(dev.malignant, dev.group, params.folds.n_splits, params.seed)
    resources = find_resources("cpu", "portable", 1, folder / "cache")
    trained = Executor(dev.images, dev.malignant, resources, "portable")

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
    assert np.array_equal(out_of_fold, again.logits)
    card = json.loads((folder / "models/final/model.json").read_text())
    calibration = platt_scaling(out_of_fold.mean(axis=0), dev.malignant)
    assert (card["temperature"], card["offset"]) == (calibration.temperature, calibration.offset)


@pytest.mark.parametrize("name", ["baseline", "final"])
def test_each_model_is_scored_under_its_own_name(
    name: str, finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model in one's place changes what is said of that one, and of no other."""
    for folder in ("data", "models", "metrics"):
        shutil.copytree(finished[0] / folder, tmp_path / folder)
    write_params(tmp_path / "params.yaml", TINY)
    monkeypatch.chdir(tmp_path)
    before = _auc_by_model(tmp_path)
    card = json.loads((tmp_path / "models" / name / "model.json").read_text())
    weights = tmp_path / "models" / name / "member_0.safetensors"
    turned = {key: -array if key == "fc.weight" else array for key, array in load(weights).items()}
    save_model(weights.parent, TrainedModel(ModelCard.model_validate(card), [turned]))
    assert call("evaluate").exit_code == 0
    after = _auc_by_model(tmp_path)
    assert {model for model in before if before[model] != after[model]} == {name}


@pytest.mark.parametrize("shown", [False, True])
def test_of_own_images_neither_model_nor_figure_keeps_any_unless_asked(
    shown: bool, finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data", "models"):
        shutil.copytree(finished[0] / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BREAST_ULTRASOUND_CACHE", str(finished[0] / "cache"))
    write_params(tmp_path / "params.yaml", TINY, {"data": {"name": "images", "show_images": shown}})
    for model in ("baseline", "final"):
        shutil.rmtree(tmp_path / "models" / model)
    for stage in ("train_final", "evaluate"):
        result = call(stage)
        assert result.exit_code == 0, result.output
    for model in ("baseline", "final"):
        assert (tmp_path / "models" / model / "known.safetensors").exists() == shown
    high, _, _ = pixels(tmp_path / "plots" / "test" / "maps.png").shape
    assert (high > 150) == shown


def _auc_by_model(folder: Path) -> dict[str, float]:
    """Return the AUC on test by the model's name in the metrics."""
    stated = json.loads((folder / "metrics" / "evaluate.json").read_text())
    return {name: stated[name]["test"]["auc"] for name in ("baseline", "final")}


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

    def train(run: Run) -> RunResult:
        logits = np.random.default_rng(0).normal(size=len(run.score)).astype(np.float32)
        if len(diverging) < n:
            diverging.append(run)
            logits *= np.nan
        return RunResult(logits, np.zeros(1), np.zeros(0))

    def train_once(_: Executor, runs: dict[str, Run], label: str) -> Iterator[Any]:
        yield from ((key, train(run)) for key, run in runs.items())

    monkeypatch.setattr(Executor, "_train_once", train_once)
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


@pytest.fixture
def nothing_besides(
    tmp_path: Path, nothing_more: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work in a folder with the file that `download` writes as shipped: no more to learn from."""
    monkeypatch.chdir(tmp_path)
    nothing_more.save(tmp_path / "data/raw/also_train.npz")


@pytest.mark.usefixtures("nothing_besides")
def test_the_clean_split_is_the_file_that_resplit_writes(
    phantom_file: Path, tmp_path: Path
) -> None:
    write_params(tmp_path / "params.yaml", TINY, {"data": {"split": "clean"}})
    raw = Path("data/raw/images.npz")
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


@pytest.mark.usefixtures("nothing_besides")
def test_a_wrong_file_leaves_earlier_outputs_as_they_were(tmp_path: Path) -> None:
    write_params(tmp_path / "params.yaml", TINY)
    raw = Path("data/raw/images.npz")
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


@pytest.mark.usefixtures("nothing_besides")
def test_a_class_that_no_fold_can_hold_is_refused(tmp_path: Path) -> None:
    write_params(tmp_path / "params.yaml", TINY, {"folds": {"n_splits": 20}})

    def one_malignant_image(arrays: dict[str, Any]) -> None:
        for split in ("train", "val", "test"):
            arrays[f"{split}_labels"][:] = 1
            arrays[f"{split}_labels"][0] = 0

    _spoil(Path("data/raw/images.npz"), one_malignant_image)
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


@pytest.mark.parametrize("name", [stage_command(stage)[0] for stage in BOTH])
def test_importing_a_stage_loads_nothing_heavy(name: str) -> None:
    """`--help` must answer at once; the time is measured in benchmarks."""
    asked = f"import sys, {name}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, text=True, capture_output=True, check=True
    )
    heavy = {"torch", "numpy", "pydantic", "sklearn", "optuna", "matplotlib", "joblib", "scipy"}
    assert not (heavy | {"skimage", "pywt", "imagehash"}) & set(done.stdout.split())


def test_a_gpu_for_portable_arithmetic_is_refused(
    finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished[0])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    written = [str(tmp_path / name) for name in ("a.json", "a.csv")]
    result = call("tune_lr", "--metrics", written[0], "--trials", written[1], "--device", "cuda")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: --device cuda: expected training.arithmetic fp32 or bf16, got portable, which is "
        "of CPUs; change it in params.yaml, or use --device cpu\n"
    )
    assert not list(tmp_path.iterdir())
    more = ["--cache", "cache", "--workers", "1", "--device", "auto", "--scheduler", " "]
    result = call("tune_lr", "--metrics", written[0], "--trials", written[1], *more)
    assert result.exit_code == 0, result.output
    assert "device: cpu, by training.arithmetic: portable\n" in result.stderr
