"""`dvc plots show` draws where there is no network."""

import os
import sys
from pathlib import Path

import pytest
from dvc.config import Config

from tests.browser import needs_chromium, visit
from tools.offline_plots import TEMPLATE, install
from tools.workspace import run


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A DVC repository with one plot and nothing else."""
    for command in ("git init -q", f"{sys.executable} -m dvc init -q"):
        run(command.split(), tmp_path, dict(os.environ))
    (tmp_path / "roc.csv").write_text("x,y\n0,0\n0.2,0.9\n1,1\n")
    (tmp_path / "dvc.yaml").write_text("plots:\n  - roc.csv:\n      x: x\n      y: y\n")
    install(tmp_path)
    return tmp_path


def show(repository: Path) -> Path:
    run([sys.executable, "-m", "dvc", "plots", "show"], repository, dict(os.environ))
    return repository / "dvc_plots/index.html"


def test_the_page_names_no_script_of_the_network(repository: Path) -> None:
    assert "<script src=" not in show(repository).read_text()


def test_another_template_that_is_named_is_kept(repository: Path) -> None:
    config = Config(str(repository / ".dvc"), validate=False)
    with config.edit("local") as local:
        local["plots"]["html_template"] = "mine.html"
    install(repository)
    assert Config(str(repository / ".dvc"))["plots"]["html_template"] == "mine.html"


def test_a_second_set_up_changes_nothing(repository: Path) -> None:
    files = [repository / ".dvc" / name for name in ("config.local", TEMPLATE)]
    before = [file.read_bytes() for file in files]
    install(repository)
    assert [file.read_bytes() for file in files] == before


@needs_chromium
def test_the_plot_is_drawn_and_nothing_is_fetched(repository: Path) -> None:
    with visit(show(repository).as_uri()) as seen:
        seen.page.wait_for_selector(".vega-embed canvas, .vega-embed svg")
        assert not seen.outside
        assert not seen.errors
