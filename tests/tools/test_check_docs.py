"""Documents are held to the metrics in git's index, not to those in the workspace."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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
    """`make test` holds them to nothing either: no test reads a metrics file of the checkout."""
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
