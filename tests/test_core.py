"""`audit` and `resplit` need the project's core dependencies, and none of its extras."""

import os
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from breast_ultrasound.console import EXTRAS
from tools.workspace import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Runs the command with `sys.argv[1]`, modules with commas, as if they were not installed.
WITHOUT = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in gone else self.finder.find_spec(name, path, target)

gone = set(sys.argv.pop(1).split(","))
sys.meta_path[:] = map(Without, sys.meta_path)
from breast_ultrasound.cli.app import app
app(prog_name="breast-ultrasound")
"""


def _needed_by(requirements: list[str]) -> set[str]:
    """Return the names of all that these requirements install."""
    found: set[str] = set()
    waiting = [Requirement(one) for one in requirements]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found.add(name)
            waiting += map(Requirement, metadata.requires(name) or [])
    return found


@cache
def _modules() -> dict[str, set[str]]:
    """Return the names of the packages that each importable module here belongs to."""
    return {
        module: {canonicalize_name(name) for name in names}
        for module, names in metadata.packages_distributions().items()
    }


def _with_the_core_alone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    core = {*_needed_by(PROJECT["dependencies"]), PROJECT["name"]}
    gone = [module for module, packages in _modules().items() if not packages & core]
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(gone), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_core_is_without_the_heavy_packages() -> None:
    assert not _needed_by(PROJECT["dependencies"]) & {"torch", "dvc", "scikit-learn", "medmnist"}


def test_audit_and_resplit_need_the_core_alone(phantom_file: Path, tmp_path: Path) -> None:
    file = str(phantom_file)
    options = ("--json", "a.json", "--csv", "a.csv", "--sheet", "a.png")
    audited = _with_the_core_alone(tmp_path, "audit", file, *options)
    assert audited.returncode == 0, audited.stderr
    assert "12 pairs of near-duplicates" in audited.stdout
    split = _with_the_core_alone(tmp_path, "resplit", file, "b.npz", "--csv", "b.csv")
    assert split.returncode == 0, split.stderr
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"a.json", "a.csv", "a.png", "b.npz", "b.csv"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["predict", "--help"]])
def test_help_and_version_need_the_core_alone(arguments: list[str], tmp_path: Path) -> None:
    done = _with_the_core_alone(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert "breast-ultrasound" in done.stdout


@pytest.mark.parametrize("arguments", [["predict", "a.png"], ["cache"], ["cache", "prune"]])
def test_other_commands_name_the_extra(arguments: list[str], tmp_path: Path) -> None:
    done = _with_the_core_alone(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    wanted = "run pip install '.[pipeline]' in the project's folder"
    assert done.stderr.endswith(f": no such package; {wanted}\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("extra", ["pipeline", "onnx", "dicom"])
def test_the_modules_of_extras_are_known(extra: str) -> None:
    wanted = PROJECT["optional-dependencies"][extra]
    packages = {canonicalize_name(Requirement(one).name) for one in wanted}
    modules = [module for module, name in EXTRAS.items() if name == extra]
    assert set().union(*(_modules()[module] for module in modules)) == packages
