"""What `make setup` would do, by a dry run on an environment that is none."""

import shutil
from pathlib import Path

import pytest

from tools.workspace import ROOT, run

ANEW = "rm -rf .venv"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project after `make setup`, in a folder with spaces."""
    folder = tmp_path.resolve() / "the project"
    (folder / ".venv").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, folder)
    (folder / ".venv" / ".installed").write_text(f"{folder / '.venv'}\n")
    return folder


def setup(folder: Path) -> str:
    return run(["make", "-n", "setup"], folder, {"PATH": "/usr/bin:/bin"}).stdout


def test_a_current_environment_is_left_alone(project: Path) -> None:
    assert "Nothing to be done" in setup(project)


@pytest.mark.parametrize("name", ["renamed", "the project 2", "the  project", "project"])
def test_an_environment_in_a_renamed_folder_is_made_anew(project: Path, name: str) -> None:
    """Its scripts name a python that is not there any more."""
    printed = setup(project.rename(project.with_name(name)))
    assert "The project's folder has moved" in printed
    assert printed.index(ANEW) < printed.index("-m venv .venv") < printed.index("-m pip install")


def test_a_link_to_another_projects_environment_is_left_alone(
    project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "worktree"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns(".venv"))
    (other / ".venv").symlink_to(project / ".venv")
    assert ANEW not in setup(other)
