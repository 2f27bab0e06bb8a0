"""Bad input to every command: one line that says what is wrong and what to do, exit code 2.

docs/errors.md is the table of these tests; after a change of a message
`WRITE_ERRORS=1 pytest tests/stages/test_bad_input.py` writes it anew.
"""

import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from breast_ultrasound.cli.app import app
from tests.stages.bad_inputs.cases import CASES, Case
from tests.stages.reads import STAGES, Reads, call
from tools.workspace import ROOT, TINY, write_params

ERRORS = ROOT / "docs" / "errors.md"
HEADER = """# What commands say to bad input

Each ends with exit code 2, this line on stderr and nothing written. The table is made by
`tests/stages/test_bad_input.py`, which gives each input to its command.

| command | input | error line |
| --- | --- | --- |
"""
# In the order of the table; each fills CASES.
KINDS = ("parameters", "official_file", "own_images", "earlier_outputs", "outputs", "pictures",
         "searches")  # fmt: skip
for kind in KINDS:
    import_module(f"tests.stages.bad_inputs.{kind}")


@pytest.fixture(scope="module")
def table_rows() -> Iterator[list[str]]:
    """The rows of docs/errors.md, of the tests that ran."""
    rows: list[str] = []
    yield rows
    if os.environ.get("WRITE_ERRORS"):
        ERRORS.write_text(HEADER + "\n".join(rows) + "\n")


@pytest.fixture
def folder(tmp_path: Path, finished: tuple[Path, Reads], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every stage could run, without a network, a GPU or cached trainings."""
    for name in ("data", "models", "metrics"):
        shutil.copytree(finished[0] / name, tmp_path / name)
    write_params(tmp_path / "params.yaml", TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BREAST_ULTRASOUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BREAST_ULTRASOUND_DEVICE", "cpu")  # auto says what it took
    monkeypatch.setattr("torchvision.datasets.utils.download_url", _no_network)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return tmp_path


def _no_network(*_: object, **__: object) -> None:
    raise OSError("no network")


def run(command: str, arguments: list[str]) -> Result:
    if command in STAGES:
        return call(command, *arguments)
    # The stage and the command `evaluate` have one name.
    words = command.removeprefix("breast-ultrasound ").split()
    return CliRunner().invoke(app, [*words, *arguments])


@pytest.mark.parametrize("bad", CASES, ids=[f"{c.command}: {c.wrong}" for c in CASES])
def test_bad_input_ends_in_one_line(bad: Case, folder: Path, table_rows: list[str]) -> None:
    arguments = bad.prepare(folder)
    before = _content(folder)
    result = run(bad.command, arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 700
    assert _content(folder) == before
    line = result.stderr.strip().replace(f"{folder}/", "").replace("|", "\\|")
    table_rows.append(f"| {bad.command} | {bad.wrong} | {line} |")
    if not os.environ.get("WRITE_ERRORS"):
        assert table_rows[-1] in ERRORS.read_text().splitlines()


def _content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_table_is_of_these_inputs_to_every_command() -> None:
    commands = {
        *STAGES,
        "predict",
        "explain",
        "export",
        "report",
        "serve",
        "breast-ultrasound evaluate",
        "audit",
        "resplit",
        "trials",
        "cache",
        "cache prune",
    }
    assert {bad.command for bad in CASES} == commands
    assert len({(bad.command, bad.wrong) for bad in CASES}) == len(CASES) >= 60
    rows = [line for line in ERRORS.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == len(CASES) + 2
