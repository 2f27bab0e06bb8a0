"""A killed search goes on where it was, and ends as if nothing had happened."""

import os
import signal
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest

from tools.workspace import TINY, copy_project, environment, run, stage_command

SEARCH = {"tune_lr": {"n_trials": 4, "n_folds": 2}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = copy_project(tmp_path / "project", TINY, SEARCH)
    for stage in ("download", "preprocess"):
        run(_command(stage), folder, environment(tmp_path / "unused"))
    return folder


def _command(stage: str) -> list[str]:
    module, arguments = stage_command(stage)
    return [sys.executable, "-m", module, *arguments]


def _stored(cache: Path) -> dict[Path, int]:
    """When each finished training was written."""
    return {path: path.stat().st_mtime_ns for path in cache.rglob("[!.]*.safetensors")}


@pytest.mark.slow
def test_a_killed_search_loses_no_finished_training(project: Path, tmp_path: Path) -> None:
    results = [project / "metrics" / "tune_lr.json", project / "plots" / "tune_lr.csv"]
    whole = environment(tmp_path / "whole", BREAST_ULTRASOUND_WORKERS="1")
    run(_command("tune_lr"), project, whole)
    expected = [path.read_bytes() for path in results]
    for path in results:
        path.unlink()

    cut = environment(tmp_path / "cut", BREAST_ULTRASOUND_WORKERS="2")
    with Popen(
        _command("tune_lr"), cwd=project, env=cut, start_new_session=True, stderr=DEVNULL
    ) as process:
        while len(_stored(tmp_path / "cut")) < 3 and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)  # the workers too
    before = _stored(tmp_path / "cut")
    assert before
    assert not any(path.exists() for path in results)

    run(_command("tune_lr"), project, cut)
    after = _stored(tmp_path / "cut")
    assert {path: after[path] for path in before} == before  # none was trained again
    assert len(after) == len(_stored(tmp_path / "whole"))
    assert [path.read_bytes() for path in results] == expected
