"""`download` with real dvc: copies of the workspace, and data that is gone."""

import hashlib
import shutil
from pathlib import Path

import pytest

from breast_ultrasound.data.source import OFFICIAL_MD5, file_name
from tests.pipeline.test_dvc import Repository, ran
from tools.workspace import copy_project

FILE_NAME = file_name(28)
CONTENT = b"as if it were the official file"
SEARCHED = {"data": {"name": "breastmnist", "search_path": ["~nobody-at-all/x", "../shared/data"]}}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A project beside which, at a relative place, lies what it takes for the official file."""
    folder = copy_project(tmp_path / "project", SEARCHED)
    source = folder / "src/breast_ultrasound/data/source.py"
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    source.write_text(source.read_text().replace(OFFICIAL_MD5[28], digest))
    data = tmp_path / "shared" / "data"
    data.mkdir(parents=True)
    (data / FILE_NAME).write_bytes(CONTENT)
    repository = Repository(folder, tmp_path / "cache")
    repository("git init -q")
    repository.commit("start")
    return repository


@pytest.mark.slow
def test_an_experiment_in_a_copy_finds_the_file_beside_the_project(repository: Repository) -> None:
    output = repository("dvc exp run --temp -S seed=2 download")
    assert f"from {repository.folder.parent / 'shared' / 'data' / FILE_NAME}" in output


@pytest.mark.slow
def test_queued_experiments_find_the_file_beside_the_project(repository: Repository) -> None:
    """With a relative cache folder, too, which is of the project."""
    repository.env["BREAST_ULTRASOUND_CACHE"] = "../cache"
    repository("dvc exp run --queue -S seed=3,4 download")
    repository("dvc queue start -j 1")
    names = [line.split()[0] for line in repository("dvc queue status").splitlines()[1:3]]
    assert all("MD5 verified" in repository(f"dvc queue logs -f {name}") for name in names)
    assert list((repository.folder.parent / "cache").rglob("*.npz"))


@pytest.mark.slow
def test_what_was_there_once_comes_back_without_a_network(repository: Repository) -> None:
    """From the program's cache, or DVC's."""
    assert ran(repository("dvc repro download")) == ["download"]
    shutil.rmtree(repository.folder.parent / "shared")
    for place, seed in (("cache", 1), ("project/.dvc/cache", 2)):
        output = repository(f"dvc exp run -S seed={seed} download")
        assert f"from {repository.folder.parent / place}" in output
        assert (repository.folder / "data" / "raw" / "images.npz").read_bytes() == CONTENT
        shutil.rmtree(repository.folder.parent / "cache")
