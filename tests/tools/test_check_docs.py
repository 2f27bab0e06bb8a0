"""Documents are held to the metrics in git's index, not to those in the workspace."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.tables import BLOCKS, DOCUMENTS, rendered
from tools.workspace import ROOT, run

COMMITTED = ("metrics", "plots", "params.yaml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository whose documents hold every block, made of its metrics, all of it staged.

    Metrics are those of this project's index: in the workspace may be any.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("not in a git repository")
    env = dict(os.environ)
    files = run(["git", "ls-files", "-z", "--", *COMMITTED], ROOT, env).stdout.split("\0")[:-1]
    run(["git", "checkout-index", f"--prefix={tmp_path}/", "--", *files], ROOT, env)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "docs").mkdir()
    blocks = "\n".join(f"<!-- {name} -->\n<!-- /{name} -->" for name in BLOCKS)
    for document in DOCUMENTS:
        text = rendered(blocks, lambda path: (tmp_path / path).read_text(encoding="utf-8"))
        (tmp_path / document).write_text(text, encoding="utf-8")
    run(["git", "init", "-q"], tmp_path, env)
    run(["git", "add", "-A"], tmp_path, env)
    return tmp_path


def check(project: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.check_docs"]
    return run(command, project, dict(os.environ), check=False)


def change(project: Path) -> None:
    """Score another AUC than the documents state, as another kind of CPU may."""
    path = project / "metrics" / "evaluate.json"
    content = json.loads(path.read_text())
    content["final"]["test"]["auc"] -= 0.5
    path.write_text(json.dumps(content))


def test_metrics_of_the_workspace_are_no_business_of_the_documents(project: Path) -> None:
    """Nor of `make test`, whose tests read none (tests/test_project_files.py)."""
    change(project)
    assert check(project).returncode == 0


def test_staged_metrics_are_held_to_the_documents_until_they_are_made_anew(project: Path) -> None:
    change(project)
    env = dict(os.environ)
    run(["git", "add", "metrics"], project, env)
    done = check(project)
    assert done.returncode == 2
    assert done.stderr.startswith("error: README.md, docs/leakage.md")
    assert "make docs" in done.stderr
    run([sys.executable, "-m", "tools.tables"], project, env)
    assert check(project).returncode == 2  # not staged yet
    run(["git", "add", "-A"], project, env)
    assert check(project).returncode == 0


def test_a_block_edited_by_hand_is_noticed(project: Path) -> None:
    readme = project / "README.md"
    readme.write_text(readme.read_text().replace("| final |", "| our own |"))
    run(["git", "add", "-A"], project, dict(os.environ))
    assert check(project).returncode == 2


def test_every_block_stands_in_a_document() -> None:
    texts = "".join((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS)
    assert [name for name in BLOCKS if f"<!-- {name} -->" not in texts] == []


def test_a_marker_without_a_block_is_an_error() -> None:
    with pytest.raises(KeyError):
        rendered("<!-- nothing -->\n<!-- /nothing -->", lambda _: "")


def _stated(value: float, *scores: str) -> dict[str, float]:
    """Return scores with the ends of their intervals, as metrics state them."""
    ends = (("", 0.0), ("_low", -0.125), ("_high", 0.125))
    return {f"{score}{end}": value + more for score in scores for end, more in ends}


def _without_leaked() -> dict[str, str]:
    """Return the metrics of studies of a test set without leaked images, by path."""
    models = ("baseline", "final", "retrained", "size_matched_control", "nearest_neighbour")
    subsets = {name: _stated(0.75, "auc", "accuracy") for name in ("test", "leak_free")}
    effect = {"ungrouped_minus_grouped": _stated(0.25, "auc")}
    leakage: dict[str, Any] = {**dict.fromkeys(models, subsets), "folds": effect}
    for model in ("final", "size_matched_control"):
        leakage[f"{model}_minus_retrained"] = subsets
    row = {"without": 0.5, "with": 0.75, **_stated(0.25, "auc")}
    augmentation = {**dict.fromkeys(("folds", "test", "leak_free"), row), "trained_on": "here"}
    contents = {"leakage": leakage, "augmentation": augmentation}
    return {f"metrics/studies/{name}.json": json.dumps(c) for name, c in contents.items()}


def _rows(block: str) -> list[list[str]]:
    """Return the cells of a block's table, but for its head."""
    text = rendered(f"<!-- {block} -->\n<!-- /{block} -->", _without_leaked().__getitem__)
    _, *lines, _ = text.splitlines()
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_scores_on_a_subset_that_metrics_lack_are_dashes() -> None:
    """A clean split has no leaked images."""
    score, gain = "0.750 [0.625, 0.875]", "+0.750 [+0.625, +0.875]"
    rows = _rows("subsets")
    assert len(rows) == 10
    assert all(row[2:] == [score, score, "–"] for row in rows)
    rows = _rows("effects")
    lacking = [row for row in rows if "leaked" in row[0].split(" on ")[-1].split()]
    assert len(lacking) == 6  # of four models leaked − leak-free, of two differences on leaked
    assert all(row[1:] == ["–", "–"] for row in lacking)
    *others, folds = [row for row in rows if row not in lacking]
    assert all(row[1:] == [gain, gain] for row in others)
    assert folds[1] == "+0.250 [+0.125, +0.375]"
    rows = _rows("augmentation")
    assert all(row[1:] == ["0.500", "0.750", "+0.250 [+0.125, +0.375]"] for row in rows)
    assert len(rows) == 3
