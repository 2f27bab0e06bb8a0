"""The same bytes wherever it runs: beside another checkout, moved, cloned without history."""

import shutil
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest

from tools.workspace import TINY, copy_project, environment, run

pytestmark = pytest.mark.slow
NAME = 'it\'s a "folder" für 乳腺 & $HOME'


def results(project: Path) -> dict[str, bytes]:
    """Return dvc.lock and every output, by path."""
    made = [
        p for name in ("data", "metrics", "models", "plots") for p in (project / name).rglob("*")
    ]
    files = [project / "dvc.lock", *(path for path in made if path.is_file())]
    return {str(path.relative_to(project)): path.read_bytes() for path in files}


def start(project: Path, env: dict[str, str]) -> Popen[str]:
    return Popen(["dvc", "repro"], cwd=project, env=env, text=True, stdout=PIPE, stderr=STDOUT)


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two checkouts that ran at once, with 2 and 4 workers, on one cache."""
    folder = tmp_path_factory.mktemp("places")
    projects, processes = [], []
    for n_workers, name in (("2", "one"), ("4", NAME)):
        project = copy_project(folder / name, TINY)
        env = environment(folder / "cache", BREAST_ULTRASOUND_WORKERS=n_workers)
        run(["git", "init", "-q"], project, env)
        projects.append(project)
        processes.append(start(project, env))
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0, output
    return projects


def test_checkouts_at_once_on_one_store_agree(checkouts: list[Path]) -> None:
    first, second = map(results, checkouts)
    assert first == second
    left = [path for path in checkouts[0].parent.joinpath("cache").rglob(".*") if path.is_file()]
    assert left == []


def test_one_worker_in_a_shallow_clone_without_a_git_user_agrees(
    checkouts: list[Path], tmp_path: Path
) -> None:
    env = environment(tmp_path / "cache", BREAST_ULTRASOUND_WORKERS="1")
    user = ["-c", "user.name=A Tester", "-c", "user.email=a@example.org"]
    for command in (
        ["add", "-A"],
        [*user, "commit", "-qm", "one"],
        [*user, "commit", "-qm", "two", "--allow-empty"],
    ):
        run(["git", *command], checkouts[0], env)
    url = f"file://{checkouts[0]}"
    run(["git", "clone", "-q", "--depth", "1", url, "clone"], tmp_path, env)
    (tmp_path / "home").mkdir()
    nobody = {"HOME": str(tmp_path / "home"), "GIT_CONFIG_NOSYSTEM": "1"}
    env = {key: value for key, value in env.items() if not key.startswith("GIT_")} | nobody
    process = start(tmp_path / "clone", env)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert run(["git", "status", "--porcelain"], tmp_path / "clone", env).stdout == ""
    assert results(tmp_path / "clone") == results(checkouts[0])
    run(["dvc", "metrics", "diff"], tmp_path / "clone", env)
    tried = run(["dvc", "exp", "run", "-S", "evaluate.n_bootstrap=30"], tmp_path / "clone", env)
    assert "Ran experiment" in tried.stdout


def test_a_moved_checkout_has_nothing_to_run(checkouts: list[Path], tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(checkouts[1], moved, symlinks=True)
    env = environment(tmp_path / "cache")
    assert "Running stage" not in run(["dvc", "repro"], moved, env).stdout
