"""Documents are held to the metrics in git's index, not to those in the workspace."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.tables import expected_lines
from tools.workspace import ROOT, run

COMMITTED = ("metrics", "plots", "docs/leakage.md", "README.md", "params.yaml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository whose documents hold just what they must, all of it staged.

    Metrics are those of this project's index: in the workspace may be any.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("not in a git repository")
    env = dict(os.environ)
    files = run(["git", "ls-files", "-z", "--", *COMMITTED], ROOT, env).stdout.split("\0")[:-1]
    run(["git", "checkout-index", f"--prefix={tmp_path}/", "--", *files], ROOT, env)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "tests").mkdir()
    shutil.copyfile(ROOT / "tests" / "test_readme.py", tmp_path / "tests" / "test_readme.py")
    lines = expected_lines(lambda path: (tmp_path / path).read_text(encoding="utf-8"))
    for document in lines:
        (tmp_path / document).write_text("\n".join(lines[document]), encoding="utf-8")
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
    change(project)
    assert check(project).returncode == 0
    (project / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (project / "Makefile").write_text("repro: ##\ntest: ##\n")
    (project / "README.md").write_text("    make repro\n    make test\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    run(command, project, dict(os.environ))


def test_staged_metrics_are_held_to_the_documents(project: Path) -> None:
    change(project)
    run(["git", "add", "metrics"], project, dict(os.environ))
    done = check(project)
    assert done.returncode == 2
    *lines, last = done.stderr.splitlines()
    assert len(lines) >= 2  # the results, and beside the aim
    assert all(line.startswith(("README.md: expected '| ", "docs/leakage.md")) for line in lines)
    assert last.startswith("error: ")


def test_staged_documents_are_looked_at(project: Path) -> None:
    (project / "README.md").write_text("")
    assert check(project).returncode == 0
    run(["git", "add", "README.md"], project, dict(os.environ))
    assert check(project).returncode == 2


def test_without_a_repository_it_says_so(project: Path) -> None:
    shutil.rmtree(project / ".git")
    done = check(project)
    assert done.returncode == 2
    assert done.stderr.startswith("error: git")
    assert "Traceback" not in done.stderr
