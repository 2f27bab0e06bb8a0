"""The files that the project ships agree with each other and with the code."""

import ast
import json
import re
import shlex
import tomllib
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc_render.vega_templates import TEMPLATES

from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.search.grid import Candidate, ranking_rows
from breast_ultrasound.search.learning_rate import Trial, trial_rows
from tests.imports import PACKAGE, all_imports, direct_imports
from tools.workspace import ROOT, dvc_stages, stage_command

DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
STAGES = dvc_stages()
MODULES = sorted((ROOT / "src" / PACKAGE).rglob("*.py"))
# Who may import whom: each layer only those after it.
LAYERS = (
    "cli",
    "console",
    "recipes",
    "search",
    "evaluation",
    "runs",
    "model",
    "data",
    "params",
    "files",
)


def _names(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _outputs(stage: dict[str, Any]) -> list[str]:
    return _names(stage.get("outs", [])) + _names(stage.get("metrics", []))


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_inputs_and_exactly_the_modules_imported(stage: str) -> None:
    script = ROOT / (stage_command(stage)[0].replace(".", "/") + ".py")
    modules = {str(path.relative_to(ROOT)) for path in all_imports(script)}
    made = {name for other in STAGES.values() for name in _outputs(other)}
    given = [word for word in shlex.split(STAGES[stage]["cmd"]) if "/" in word]
    inputs = {word for word in given if word not in _outputs(STAGES[stage])}
    assert inputs <= made
    own = {str(script.relative_to(ROOT)), "stages/__init__.py"}
    # The first stage checks every parameter, the unknown ones too.
    own |= {"params.yaml"} if stage == "download" else set()
    assert set(STAGES[stage]["deps"]) == inputs | modules | own


def test_packages_hold_no_code_that_deps_would_miss() -> None:
    for path in MODULES:
        if path.name == "__init__.py":
            assert [type(node) for node in ast.parse(path.read_text()).body] == [ast.Expr]


def test_every_stage_is_described_and_keeps_metrics_and_plots_in_git() -> None:
    for stage in STAGES.values():
        assert len(stage["desc"]) > 20
        for entry in [*stage.get("outs", []), *stage.get("metrics", [])]:
            name = _names([entry])[0]
            if name.startswith(("metrics/", "plots/")):
                assert entry[name] == {"cache": False}
            else:
                assert isinstance(entry, str)


def test_evaluate_alone_depends_on_the_test_images() -> None:
    readers = [name for name, stage in STAGES.items() if "data/processed/test.npz" in stage["deps"]]
    assert readers == ["evaluate"]
    made_by_evaluate = set(_outputs(STAGES["evaluate"]))
    assert not any(made_by_evaluate & set(stage["deps"]) for stage in STAGES.values())


def test_plots_are_of_files_that_stages_make() -> None:
    made = [name for stage in STAGES.values() for name in _outputs(stage)]
    for entry in DVC["plots"]:
        files = [entry] if isinstance(entry, str) else next(iter(entry.values()))["y"]
        for file in files:
            assert any(file == name or file.startswith(f"{name}/") for name in made), file


def test_templates_of_plots_are_dvcs_or_here_and_used() -> None:
    here = {path.stem for path in (ROOT / ".dvc/plots").glob("*.json")}
    named = {next(iter(e.values()))["template"] for e in DVC["plots"] if not isinstance(e, str)}
    assert here <= named <= here | {template.DEFAULT_NAME for template in TEMPLATES}


def test_the_plot_of_trials_tells_the_stopped_ones() -> None:
    """A mean over the first folds only is not one to compare."""
    trials = [
        Trial(0, 0.1, (0.9, 0.8)),
        Trial(1, 0.2, (0.7,), pruned=True),
        Trial(2, 0.3, (0.0,), diverged=True),
    ]
    columns, rows = trial_rows(trials)
    shape = json.loads((ROOT / ".dvc/plots/trials.json").read_text())["encoding"]["shape"]
    assert [row[columns.index(shape["field"])] for row in rows] == shape["scale"]["domain"]


def test_the_plot_of_the_grid_tells_where_settings_stopped(config: TrainingConfig) -> None:
    """A mean over fewer folds or epochs is not one to compare."""
    settings = [Candidate({}, config, 1, rung, 1, (0.9,)) for rung in (3, 2, 1)]
    columns, rows = ranking_rows([*settings, replace(settings[0], diverged=True)])
    shape = json.loads((ROOT / ".dvc/plots/ranking.json").read_text())["encoding"]["shape"]
    assert [row[columns.index(shape["field"])] for row in rows] == shape["scale"]["domain"]


def test_params_named_in_dvc_yaml_exist() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for stage in STAGES.values():
        for leaf in stage["params"]:
            value = params
            for key in leaf.split("."):
                value = value[key]
            assert not isinstance(value, dict), f"{leaf} is a section: name its leaves"


def test_imports_point_one_way() -> None:
    def layer(path: Path) -> int:
        return LAYERS.index(path.relative_to(top).parts[0].removesuffix(".py"))

    top = ROOT / "src" / PACKAGE
    for path in MODULES:
        if path.name != "__init__.py":
            for imported in direct_imports(path):
                same = top != imported.parent == path.parent
                assert layer(path) < layer(imported) or same, f"{path} imports {imported}"


def test_nothing_unpickles() -> None:
    loaders = re.compile(
        r"pickle\.load|joblib\.load|torch\.load\((?!.*weights_only=True)|allow_pickle=True"
    )
    for path in [*MODULES, *(ROOT / "stages").glob("*.py"), *(ROOT / "studies").glob("*.py")]:
        assert not loaders.search(path.read_text()), path


def test_constraints_pin_every_dependency() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pinned = {
        re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", text, re.M)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for entry in [*project["dependencies"], *chain(*extras.values())]:
        name = re.split(r"[<>=[]", entry)[0].lower()
        assert name in pinned | {project["name"]}, entry
    assert f"{project['name']}[pipeline,studies]" in extras["dev"]  # `make setup` installs it all
    assert "://" not in text


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    for one in [citation, *citation["references"]]:
        assert one["title"]
        assert one["authors"]


def test_ci_runs_the_oldest_python_that_is_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert f">={jobs['linux']['strategy']['matrix']['python'][0]}" == project["requires-python"]
    assert jobs["linux"]["steps"][-1] == {"run": ".ci/run"}


@pytest.mark.parametrize("path", re.findall(r"[\w.-]+(?:/[\w.-]+)+", CONTRIBUTING))
def test_every_file_that_contributing_names_exists(path: str) -> None:
    assert "NAME" in path or (ROOT / path).exists()


def test_every_target_that_contributing_names_exists() -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"\bmake ([a-z-]+)", CONTRIBUTING)) <= set(targets)


def test_dvc_is_silent_and_offline() -> None:
    text = (ROOT / ".dvc" / "config").read_text()
    assert "analytics = false" in text
    assert "check_update = false" in text


def test_functions_are_short() -> None:
    for path in [*MODULES, *(ROOT / "stages").glob("*.py"), *(ROOT / "studies").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 40, f"{path}: {node.name}: {length} lines"
