"""A killed search goes on where it was, and ends as if nothing had happened."""

import os
import signal
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest

from tests.runs.clusters import cluster, kill, wait_until
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


@pytest.mark.slow
@pytest.mark.parametrize("dies", ["coordinator", "scheduler"])
def test_a_stage_goes_on_after_a_death(project: Path, tmp_path: Path, dies: str) -> None:
    """The second time it trains nothing that was there, and writes the bytes of a local run."""
    outputs = [project / "metrics" / "tune_lr.json", project / "plots" / "tune_lr.csv"]
    run(_command("tune_lr"), project, environment(tmp_path / "local"))
    expected = [path.read_bytes() for path in outputs]
    for path in outputs:
        path.unlink()
    with cluster(tmp_path / "cluster", n_workers=2) as processes:
        there = environment(tmp_path / "there", BREAST_ULTRASOUND_SCHEDULER=processes.address)
        with Popen(
            _command("tune_lr"), cwd=project, env=there, stdout=DEVNULL, stderr=PIPE, text=True
        ) as stage:
            wait_until(lambda: len(_stored(tmp_path / "there")) >= 3)
            if dies == "scheduler":
                kill(processes.started[0])
            else:
                stage.send_signal(signal.SIGKILL)
            _, said = stage.communicate(timeout=60)
        assert stage.returncode == (2 if dies == "scheduler" else -signal.SIGKILL)
        if dies == "scheduler":
            *_, line = said.splitlines()
            assert line.startswith("error: --scheduler tcp://")
            assert line.endswith(
                "the connection is lost; finished trainings are kept: run again to go on"
            )
            assert "Traceback" not in said
            processes.scheduler()
            processes.worker("w2")
        before = _stored(tmp_path / "there")
        assert not any(path.exists() for path in outputs)
        run(_command("tune_lr"), project, there)
    after = _stored(tmp_path / "there")
    assert {name: after[name] for name in before} == before
    assert [path.read_bytes() for path in outputs] == expected
