"""Workers that share a process, freeze, come late or differ; schedulers that say nothing."""

import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from breast_ultrasound.files import InputError
from breast_ultrasound.runs.cluster import connect
from breast_ultrasound.runs.run import Run
from tests.runs.clusters import (
    HOST,
    cluster,
    content,
    free_port,
    in_fp32,
    kill,
    listens,
    once_cached,
    wait_for,
    wait_until,
    written,
)
from tests.runs.conftest import Content, MakeExecutor

IN_ONE_PROCESS = """
import sys, time
from distributed import LocalCluster
if __name__ == "__main__":
    LocalCluster(n_workers=3, threads_per_worker=1, processes=False, protocol="tcp://",
                 host="127.0.0.1", scheduler_port=int(sys.argv[1]), dashboard_address=None)
    time.sleep(600)
"""


@pytest.mark.slow
def test_workers_of_one_process_train_one_after_the_other(
    on: MakeExecutor, longer: list[Run], trained_here: Content, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(IN_ONE_PROCESS)
    port = str(free_port())
    command = [sys.executable, tmp_path / "script.py", port]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        wait_until(lambda: listens(HOST, int(port)))
        wait_for(f"tcp://{HOST}:{port}", 3)
        there = on(f"tcp://{HOST}:{port}")
        there(longer, "there")
    finally:
        kill(process)
    assert content(there) == trained_here


@pytest.mark.slow
def test_a_frozen_worker_holds_nobody_up(
    on: MakeExecutor, longer: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It is named once, and used when it answers; one that has the images already, too."""
    with cluster(tmp_path / "cluster", n_workers=2) as processes:
        wait_for(processes.address, 2)
        on(processes.address)  # all have imported what they need
        monkeypatch.setattr("breast_ultrasound.runs.cluster.ANSWER", 3.0)
        for seed in range(2):
            processes.started[1].send_signal(signal.SIGSTOP)
            there = on(processes.address)
            assert len(there([replace(run, seed=2 * seed) for run in longer], "one")) == len(longer)
            assert capsys.readouterr().err.count("worker w0 does not answer: not used until") == 1
            processes.started[1].send_signal(signal.SIGCONT)
            assert len(there([replace(run, seed=2 * seed + 1) for run in longer], "both")) == 6
        kill(processes.started[2])
        assert len(there([replace(run, seed=9) for run in longer[:2]], "the other")) == 2


@pytest.mark.slow
def test_patience_is_ours_where_the_scheduler_has_less(
    on: MakeExecutor, longer: list[Run], tmp_path: Path
) -> None:
    soon = {"DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT": "1s"}
    with cluster(tmp_path / "cluster", 1, variables=soon) as processes:
        there = on(processes.address)

        def replace_it() -> None:
            kill(processes.started[1])
            time.sleep(3)
            processes.worker("w1")

        with once_cached(2, there.resources.cache.folder, replace_it):
            assert len(there(longer, "there")) == len(longer)


@pytest.mark.slow
def test_a_frozen_scheduler_ends_in_a_line(
    on: MakeExecutor, longer: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(tmp_path / "cluster", n_workers=1) as processes:
        there = on(processes.address)
        monkeypatch.setattr("breast_ultrasound.runs.cluster.ANSWER", 2.0)
        folder = there.resources.cache.folder
        said = pytest.raises(InputError, match="the connection is lost; finished trainings are")
        freeze = processes.started[0].send_signal
        with once_cached(2, folder, lambda: freeze(signal.SIGSTOP)), said:
            there(longer, "there")


@pytest.mark.slow
def test_what_is_cached_decides_which_kind_goes_on(
    on: MakeExecutor, longer: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The smaller kind, which trained before, goes on; one of the other that comes late is said."""
    fp32 = [in_fp32(run) for run in longer]
    with cluster(tmp_path / "cluster", n_workers=0) as processes:
        processes.worker("slow", ONEDNN_MAX_CPU_ISA="SSE41")
        first = on(processes.address, arithmetic="fp32")
        first(fp32[:2], "first")
        processes.worker("late")
        wait_for(processes.address, 2)
        first(fp32, "late")
        before = written(first.resources.cache.folder)
        assert "worker late not used, fp32: cpu" in capsys.readouterr().err
        processes.worker("more")
        wait_for(processes.address, 3)
        again = on(processes.address, arithmetic="fp32")
        again(fp32, "again")
    assert written(again.resources.cache.folder) == before
    assert again.trained_on == first.trained_on


@pytest.mark.slow
def test_a_training_that_kills_its_workers_is_said(
    on: MakeExecutor, longer: list[Run], tmp_path: Path
) -> None:
    never = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with cluster(tmp_path / "cluster", 1, variables=never) as processes:
        there = on(processes.address)
        folder = there.resources.cache.folder
        said = pytest.raises(InputError, match="every worker died that a training was given to")
        with once_cached(2, folder, lambda: kill(processes.started[1])), said:
            there(longer, "there")


@pytest.mark.slow
def test_a_scheduler_that_cannot_import_the_project_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty" / "breast_ultrasound").mkdir(parents=True)
    (tmp_path / "empty" / "breast_ultrasound" / "__init__.py").touch()
    elsewhere = {"PYTHONPATH": str(tmp_path / "empty")}
    said = pytest.raises(InputError, match=r"it cannot import this project .*ModuleNotFoundError")
    with cluster(tmp_path / "cluster", 0, variables=elsewhere) as processes, said:
        connect(processes.address, "cpu", "portable")


def test_a_port_that_says_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the dashboard's, whose address a scheduler prints too."""
    monkeypatch.setattr("breast_ultrasound.runs.cluster.CONNECT", 0.5)
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        address = f"tcp://{HOST}:{listener.getsockname()[1]}"
        with pytest.raises(InputError, match=r"no Dask scheduler answers \("):
            connect(address, "cpu", "portable")


@pytest.mark.parametrize(
    "address", ["nowhere", "tcp://127.0.0.1", "http://127.0.0.1:1", "tcp://[::1", "ucx://a:1", "/a"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"expected tcp://HOST:PORT or tls://HOST:PORT"):
        connect(address, "cpu", "portable")
