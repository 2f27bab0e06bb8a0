"""A cluster of real processes over TCP gives the bytes of this machine, whatever dies."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dask
import pytest
from distributed import Security

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.runs import worker
from breast_ultrasound.runs.cache import RunCache
from breast_ultrasound.runs.cluster import connect
from breast_ultrasound.runs.execute import find_resources
from breast_ultrasound.runs.run import Run, RunResult
from tests.runs.clusters import (
    HOST,
    Processes,
    cluster,
    content,
    free_port,
    in_fp32,
    kill,
    once_cached,
    wait_for,
    written,
)
from tests.runs.conftest import Content, MakeExecutor
from tools.workspace import ROOT


def test_a_cluster_gives_the_bytes_of_this_machine(
    workers: Processes, on: MakeExecutor, executor: MakeExecutor, runs: list[Run]
) -> None:
    here, there = executor(2), on(workers.address)
    here(runs, "here")
    there(runs[:2], "some")
    there(runs, "all")
    assert there.trained_on == here.trained_on
    assert content(there) == content(here)


def test_patience_is_with_workers_alone(
    workers: Processes, on: MakeExecutor, runs: list[Run]
) -> None:
    """A stage may do something else for longer, between its trainings."""
    with dask.config.set({"distributed.scheduler.no-workers-timeout": "1s"}):
        there = on(workers.address)
        time.sleep(1.5)
        assert len(there(runs[:1], "")) == 1


def test_a_bug_in_a_training_is_shown(
    workers: Processes, on: MakeExecutor, runs: list[Run]
) -> None:
    beyond = replace(runs[0], score=runs[0].score + 10_000)
    with pytest.raises(IndexError):
        on(workers.address)([beyond], "")


def test_images_that_a_worker_put_away_are_sent_again(
    workers: Processes, executor: MakeExecutor, dev: ImageSet, runs: list[Run], tmp_path: Path
) -> None:
    others = dev.images[::-1].copy()
    resources = find_resources("cpu", "portable", 0, tmp_path / "there", workers.address)
    assert resources.cluster
    with resources.cluster.client as client:
        client.run(_keep_no_more_than, 0)
        for images in (dev.images, others, dev.images):
            there = executor(resources=resources, images=images)
            new = [replace(run, seed=len(written(tmp_path / "there"))) for run in runs]
            assert len(there(new, "there")) == len(runs)
        client.run(_keep_no_more_than, worker.MAX_KEPT)


def _keep_no_more_than(n_bytes: int) -> None:
    worker.MAX_KEPT = n_bytes


@pytest.mark.slow
def test_workers_that_would_train_otherwise_are_refused_by_name(
    on: MakeExecutor, runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other code, other packages, none of ours; of two kinds of arithmetic the larger trains."""
    code, packages = tmp_path / "code", tmp_path / "packages"
    shutil.copytree(ROOT / "src", code)
    losses = code / "breast_ultrasound" / "model" / "losses.py"
    losses.write_text(losses.read_text() + "\nTEMPERATURE = 2\n")
    (packages / "scipy-0.1.dist-info").mkdir(parents=True)
    (packages / "scipy-0.1.dist-info" / "METADATA").write_text("Name: scipy\nVersion: 0.1\n")
    (tmp_path / "empty" / "breast_ultrasound").mkdir(parents=True)
    (tmp_path / "empty" / "breast_ultrasound" / "__init__.py").touch()
    with cluster(tmp_path / "cluster", n_workers=2) as processes:
        processes.worker("slow", ONEDNN_MAX_CPU_ISA="SSE41")
        processes.worker("changed", code=str(code))
        processes.worker("old", code=f"{packages}{os.pathsep}{ROOT / 'src'}")
        processes.worker("foreign", code=str(tmp_path / "empty"))
        wait_for(processes.address, 6)
        execute = on(processes.address, arithmetic="fp32")
        changed = [in_fp32(run) for run in runs]
        assert len(execute(changed, "")) == len(runs)
    said = capsys.readouterr().err
    assert "worker changed refused: other training code; install there" in said
    assert "worker old refused: scipy 0.1 there, " in said
    assert "worker foreign refused, it cannot train: ModuleNotFoundError" in said
    assert f"cluster: 2 workers, {execute.trained_on}\n" in said
    assert "not used: 1 workers, fp32: cpu" in said
    assert "ONEDNN_MAX_CPU_ISA=SSE41" in said
    assert ": their results would be others" in said
    assert "SSE41" not in execute.trained_on


@pytest.mark.parametrize(
    "address", [f"tcp://{HOST}:1", f"tls://{HOST}:1", "nowhere:x", "no-host.invalid:1"]
)
def test_an_address_where_nobody_answers_is_said(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("breast_ultrasound.runs.cluster.CONNECT", 0.5)
    threads = set(threading.enumerate())
    with pytest.raises(
        InputError, match=r"--scheduler .*: (no Dask scheduler answers|expected tcp:)"
    ):
        connect(address, "cpu", "portable")
    assert set(threading.enumerate()) <= threads, "a half-open client is left, which may hang"


def test_a_scheduler_without_workers_is_said(tmp_path: Path) -> None:
    setting = dask.config.set({"distributed.scheduler.no-workers-timeout": "1s"})
    said = pytest.raises(InputError, match=r"expected workers, found none; start some with")
    with cluster(tmp_path, n_workers=0) as processes, setting, said:
        connect(processes.address, "cpu", "portable")


@pytest.mark.slow
def test_killed_workers_cost_no_result(
    on: MakeExecutor, longer: list[Run], trained_here: Content, tmp_path: Path
) -> None:
    """One is gone, then the other; its nanny starts it again, at the same address."""
    with cluster(tmp_path / "cluster", n_workers=1) as processes:
        port = ("--worker-port", str(free_port()))
        nanny = processes.worker("w1", "--nanny", "--host", HOST, *port)
        wait_for(processes.address, 2)
        there = on(processes.address)
        folder = there.resources.cache.folder

        def kill_the_other() -> None:
            found = subprocess.run(
                ["pgrep", "-P", str(nanny.pid), "-f", "spawn_main"], capture_output=True, check=True
            )
            os.kill(int(found.stdout.split()[-1]), signal.SIGKILL)

        first = once_cached(1, folder, lambda: kill(processes.started[1]))
        with first, once_cached(4, folder, kill_the_other):
            there(longer, "there")
    assert content(there) == trained_here


def test_a_worker_keeps_to_its_arithmetic(
    workers: Processes, on: MakeExecutor, runs: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    on(workers.address)(runs[:1], "")
    impatient = dask.config.set({"distributed.scheduler.no-workers-timeout": "1s"})
    with impatient, pytest.raises(InputError, match="expected workers, found none that can be"):
        on(workers.address, arithmetic="fp32")
    said = capsys.readouterr().err
    assert "worker w0 refused, it cannot train: it computes in portable arithmetic on cpu" in said


def test_one_that_gives_up_takes_nothing_from_another(
    workers: Processes, on: MakeExecutor, longer: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ask for the same runs at once; the first can keep nothing."""
    fails, goes_on = on(workers.address), on(workers.address, cache="other")
    folder, save = fails.resources.cache.folder, RunCache.save

    def refused(cache: RunCache, key: str, result: RunResult) -> None:
        if cache.folder == folder:
            raise InputError("full")
        save(cache, key, result)

    monkeypatch.setattr(RunCache, "save", refused)

    def give_up() -> None:
        with pytest.raises(InputError, match="full"):
            fails(longer, "fails")

    ends = threading.Thread(target=give_up)
    ends.start()
    results = goes_on(longer, "goes on")
    ends.join()
    assert len(results) == len(content(goes_on)) == len(longer)


@pytest.mark.slow
def test_a_lost_scheduler_ends_in_a_line_and_the_next_goes_on(
    on: MakeExecutor, longer: list[Run], trained_here: Content, tmp_path: Path
) -> None:
    with cluster(tmp_path / "cluster", n_workers=2) as processes:
        there = on(processes.address)
        folder = there.resources.cache.folder

        lost = pytest.raises(InputError, match=r"the connection is lost; finished trainings are")
        with once_cached(2, folder, lambda: kill(processes.started[0])), lost:
            there(longer, "there")
        before = written(folder)
        assert 2 <= len(before) < len(longer)
        processes.scheduler()
        processes.worker("w2")
        again = on(processes.address)
        again(longer, "again")
    after = written(folder)
    assert {name: after[name] for name in before} == before
    assert content(again) == trained_here


@pytest.mark.slow
def test_certificates_are_dasks_own(
    executor: MakeExecutor, on: MakeExecutor, runs: list[Run], tmp_path: Path
) -> None:
    """With them the bytes are the same; without them nobody gets in."""
    temporary = Security.temporary()
    files = {
        "ca-file": tmp_path / "ca.pem",
        "cert": tmp_path / "cert.pem",
        "key": tmp_path / "key.pem",
    }
    for path, text in zip(files.values(), (temporary.tls_ca_file, temporary.tls_client_cert,
                                           temporary.tls_client_key), strict=True):  # fmt: skip
        path.write_text(str(text))
    options = [word for name, path in files.items() for word in (f"--tls-{name}", str(path))]
    client = {"cert": str(files["cert"]), "key": str(files["key"])}
    settings = {"distributed.comm.tls.ca-file": str(files["ca-file"]),
                "distributed.comm.tls.client": client}  # fmt: skip
    here = executor(2)
    here(runs, "here")
    with cluster(tmp_path / "cluster", 1, "tls", options) as processes:
        with dask.config.set(settings):
            there = on(processes.address)
            there(runs, "there")
        with pytest.raises(InputError, match=r"no Dask scheduler answers .*TLS"):
            connect(processes.address, "cpu", "portable")
    assert content(there) == content(here)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[tuple[Processes, Callable[[str], bool]]]:
    """A cluster in a network of its own, and what sets the link to it up or down."""
    name, here, there = f"bu{os.getpid() % 10_000}", "10.213.7.1", "10.213.7.2"
    commands = (
        f"ip netns add {name}",
        f"ip link add {name}h type veth peer name {name}n netns {name}",
        f"ip addr add {here}/30 dev {name}h",
        f"ip link set {name}h up",
        f"ip -n {name} addr add {there}/30 dev {name}n",
        f"ip -n {name} link set {name}n up",
        f"ip -n {name} link set lo up",
    )
    if not shutil.which("ip") or any(map(_fails, commands)):
        _fails(f"ip netns del {name}")
        pytest.skip("needs root, and networks of its own")
    (tmp_path / "cluster").mkdir()
    impatient = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}
    within = ("ip", "netns", "exec", name)
    address = f"tcp://{there}:{free_port()}"
    processes = Processes(tmp_path / "cluster", address, (), impatient, within)
    try:
        processes.scheduler()
        processes.worker("w0")
        processes.worker("w1")
        yield processes, lambda state: _fails(f"ip link set {name}h {state}")
    finally:
        processes.stop()
        _fails(f"ip netns del {name}")


def _fails(command: str) -> bool:
    return bool(subprocess.run(command.split(), capture_output=True, check=False).returncode)


@pytest.mark.slow
def test_a_lost_connection_ends_in_a_line(
    on: MakeExecutor,
    longer: list[Run],
    trained_here: Content,
    far: tuple[Processes, Callable[[str], bool]],
) -> None:
    """Nobody says that the other end is gone: packets no longer arrive."""
    processes, set_link = far
    settings = {"distributed.comm.timeouts.tcp": "11s", "distributed.comm.timeouts.connect": "4s"}
    with dask.config.set(settings):
        there = on(processes.address)
        folder = there.resources.cache.folder

        lost = pytest.raises(InputError, match=r"the connection is lost; finished trainings are")
        with once_cached(2, folder, lambda: set_link("down")), lost:
            there(longer, "there")
    before = written(folder)
    set_link("up")
    again = on(processes.address)
    again(longer, "again")
    after = written(folder)
    assert {name: after[name] for name in before} == before
    assert content(again) == trained_here
