"""What targets would do, by a dry run on an environment that is none."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tools.workspace import ROOT, dvc_stages, run

ANEW = "rm -rf .venv"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project after `make setup`, in a folder with spaces."""
    folder = tmp_path.resolve() / "the project"
    (folder / ".venv").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools/offline_plots.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv" / ".installed").write_text(f"{folder / '.venv'}\n")
    (folder / ".dvc").mkdir()
    (folder / ".dvc/plots.html").write_text("made by set-up\n")
    return folder


def dry(folder: Path, target: str) -> str:
    return run(["make", "-n", target], folder, {"PATH": "/usr/bin:/bin"}).stdout


def setup(folder: Path) -> str:
    return dry(folder, "setup")


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


@pytest.fixture
def columns(project: Path) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Which columns of the experiments go and which stay: what stays is stronger."""
    _, _, after = dry(project, "experiments").partition("dvc exp show")
    words = shlex.split(after.splitlines()[0])
    drop, keep = (words[words.index(option) + 1] for option in ("--drop", "--keep"))
    return re.compile(drop), re.compile(keep)


@pytest.mark.parametrize("score", ["final.test.auc", "final.leak_free.accuracy"])
def test_experiments_show_the_scores_of_the_pipeline_and_no_studys(
    columns: tuple[re.Pattern[str], re.Pattern[str]], score: str
) -> None:
    """DVC puts the file's name before a score that several files have."""
    drop, keep = columns
    for name in (score, f"metrics/evaluate.json:{score}"):
        assert keep.match(name), name
    for study in ("leakage", "clean_split"):
        name = f"metrics/studies/{study}.json:{score}"
        assert drop.match(name), name
        assert not keep.match(name), name


def test_make_studies_runs_all_but_the_longest() -> None:
    found = re.search(r"^STUDIES := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert found is not None
    assert set(found[1].split()) == dvc_stages("studies/dvc.yaml").keys() - {
        "official_recipe",
        "resolution",
    }
