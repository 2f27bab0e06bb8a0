"""The files that the project ships agree with each other and with the code."""

import ast
import json
import os
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
from breast_ultrasound.report import results
from breast_ultrasound.search.grid import Candidate, ranking_rows
from breast_ultrasound.search.learning_rate import Trial, trial_rows
from tests.imports import PACKAGE, all_imports, direct_imports
from tools.workspace import PIPELINES, ROOT, dvc_stages, stage_command

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
FILES: dict[str, dict[str, Any]] = {f: yaml.safe_load((ROOT / f).read_text()) for f in PIPELINES}
STAGES, STUDIES = (dvc_stages(file) for file in PIPELINES)
BOTH = STAGES | STUDIES
SCRIPTS = [*(ROOT / "stages").glob("*.py"), *(ROOT / "studies").glob("*.py")]
MODULES = sorted((ROOT / "src" / PACKAGE).rglob("*.py"))
# All Python of the project.
CODE = ("src", "stages", "studies", "tools", "benchmarks", "tests")
# Who may import whom: each layer only those after it.
LAYERS = (
    "cli",
    "web",
    "scripting",
    "console",
    "report",
    "search",
    "evaluation",
    "runs",
    "model",
    "data",
    "ranking",
    "params",
    "files",
)


def _names(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _outputs(stage: dict[str, Any]) -> list[str]:
    return _names(stage.get("outs", [])) + _names(stage.get("metrics", []))


@pytest.mark.parametrize("stage", BOTH)
def test_deps_are_the_inputs_and_exactly_the_modules_imported(stage: str) -> None:
    script = ROOT / (stage_command(stage)[0].replace(".", "/") + ".py")
    modules = {str(path.relative_to(ROOT)) for path in all_imports(script)}
    made = {name for other in BOTH.values() for name in _outputs(other)}
    given = [word for word in shlex.split(BOTH[stage]["cmd"]) if "/" in word]
    inputs = {word for word in given if word not in _outputs(BOTH[stage])}
    assert inputs <= made
    own = {str(script.relative_to(ROOT)), "stages/__init__.py"}
    # The first stage checks every parameter, the unknown ones too.
    # It depends on the folders of own images as a whole.
    if stage == "download":
        own |= {"params.yaml", "${data.images}", "${data.also_train.images}"}
    if stage in STUDIES:
        own.add("studies/__init__.py")
    if stage == "report":
        own |= _shown_by_the_report()
    assert set(BOTH[stage]["deps"]) == inputs | modules | own


def _shown_by_the_report() -> set[str]:
    """Return what the page shows, as its stage depends on it, and what it is made with."""
    metrics = {f"metrics/{name}.json" for name in (*results.METRICS, *results.STUDIES)}
    ends = {name for stage in BOTH.values() for name in _outputs(stage)}
    tables = {f"plots/{name}.csv" for name in results.TABLES}
    holding = {
        end for end in ends for table in tables if table == end or table.startswith(f"{end}/")
    }
    templates = (ROOT / "src" / PACKAGE / "report/templates").iterdir()
    return metrics | holding | {"params.yaml"} | {str(p.relative_to(ROOT)) for p in templates}


def test_every_script_is_a_stage_under_its_own_name() -> None:
    assert len(BOTH) == len(STAGES) + len(STUDIES)
    for folder, stages in (("stages", STAGES), ("studies", STUDIES)):
        assert {path.stem for path in (ROOT / folder).glob("[!_]*.py")} == stages.keys()
        for stage in stages:
            assert stage_command(stage)[0] == f"{folder}.{stage}"
    assert all(stage["wdir"] == ".." for stage in STUDIES.values())
    assert not any("wdir" in stage for stage in STAGES.values())


def test_packages_hold_no_code_that_deps_would_miss() -> None:
    for path in MODULES:
        # The package's own imports nothing of it before it is asked for.
        if path.name == "__init__.py" and path.parent.name != PACKAGE:
            assert [type(node) for node in ast.parse(path.read_text()).body] == [ast.Expr]


def test_every_stage_is_described_and_keeps_metrics_and_plots_in_git() -> None:
    for stage in BOTH.values():
        assert len(stage["desc"]) > 20
        for entry in [*stage.get("outs", []), *stage.get("metrics", [])]:
            name = _names([entry])[0]
            if name.startswith(("metrics/", "plots/", "report")):
                assert entry[name] == {"cache": False}
            else:
                assert isinstance(entry, str)


def test_few_depend_on_the_test_images() -> None:
    """One stage of the pipeline, and the studies whose question is about test images."""
    readers = {name for name, stage in BOTH.items() if "data/processed/test.npz" in stage["deps"]}
    assert readers == {
        "evaluate",
        "leakage",
        "augmentation",
        "external",
        "resolution",
        "unlike",
        "report",
    }
    raw = {name for name, stage in STAGES.items() if "data/raw/images.npz" in stage["deps"]}
    assert raw == {"preprocess"}


def test_no_test_reads_metrics_or_plots_of_the_checkout() -> None:
    """So `make test` passes whatever lies in the workspace; `make check` reads git's index."""
    reading = re.compile(r"""ROOT / f?["'](?:metrics|plots)|\bread_(?:workspace)\b""")
    for path in (ROOT / "tests").rglob("*.py"):
        if path.parent != ROOT / "tests" / "tools":
            assert not reading.search(path.read_text()), path


def test_nothing_but_the_report_depends_on_evaluate_or_on_a_study() -> None:
    ends = {name for stage in STUDIES.values() for name in _outputs(stage)}
    ends |= set(_outputs(STAGES["evaluate"]))
    for name, stage in BOTH.items():
        for dep in stage["deps"] if name != "report" else []:
            assert not any(dep == end or dep.startswith(f"{end}/") for end in ends), dep


def _plots(pipeline: str) -> list[str]:
    """Return the files of a pipeline's plots; their names are relative to its folder."""
    names: list[str] = []
    for entry in FILES[pipeline]["plots"]:
        names += [entry] if isinstance(entry, str) else next(iter(entry.values()))["y"]
    return [os.path.normpath(Path(pipeline).parent / name) for name in names]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_plots_are_of_files_that_stages_make(pipeline: str) -> None:
    made = [name for stage in dvc_stages(pipeline).values() for name in _outputs(stage)]
    for file in _plots(pipeline):
        assert any(file == name or file.startswith(f"{name}/") for name in made), file


def test_templates_of_plots_are_dvcs_or_here_and_used() -> None:
    here = {path.stem for path in (ROOT / ".dvc/plots").glob("*.json")}
    plots = [entry for content in FILES.values() for entry in content["plots"]]
    named = {next(iter(e.values()))["template"] for e in plots if not isinstance(e, str)}
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


def test_params_named_in_pipelines_exist_once() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for stage in BOTH.values():
        names = stage.get("params", [])
        assert names == sorted(set(names))
        for name in names:
            value = params
            for key in name.split("."):
                value = value[key]
            section, *leaf = name.split(".")
            assert not (leaf and section in names), f"{name} is named by its section already"


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
    for path in [*MODULES, *SCRIPTS]:
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
    everything = f"{project['name']}[pipeline,studies,onnx,report,serve,cluster,dicom,s3,ssh]"
    assert everything in extras["dev"]  # `make setup` installs it all
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
    for path in chain(*((ROOT / folder).rglob("*.py") for folder in CODE)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 40, f"{path}: {node.name}: {length} lines"
