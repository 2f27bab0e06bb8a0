"""A cluster of real processes over TCP gives the bytes of this machine, whatever dies."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dask
import pytest
from distributed import Client, Security
from safetensors.numpy import load_file

from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Arithmetic
from breast_ultrasound.runs.cache import RunCache
from breast_ultrasound.runs.cluster import connect
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.fold_runs import run_on
from tests.runs.clusters import HOST, Processes, cluster, free_port, kill, wait_until
from tools.workspace import ROOT

MakeExecutor = Callable[..., Executor]


@pytest.fixture
def runs(config: TrainingConfig, dev: ImageSet) -> list[Run]:
    folds = make_folds(dev.malignant, dev.group, 3, seed=0)
    return [replace(run_on(config, fold), keep_weights=True) for fold in folds]


@pytest.fixture
def longer(runs: list[Run], config: TrainingConfig) -> list[Run]:
    """Those, and as many that take some seconds."""
    training = config.training.model_copy(update={"n_epochs": 40})
    long = config.model_copy(update={"training": training})
    return [*runs, *(replace(run, config=long) for run in runs)]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with cluster(tmp_path_factory.mktemp("cluster"), n_workers=2) as processes:
        yield processes


@pytest.fixture
def on(executor: MakeExecutor, tmp_path: Path) -> Iterator[MakeExecutor]:
    """What carries out runs on a cluster, and keeps them in a cache of its own."""
    clients = []

    def make(address: str, arithmetic: Arithmetic = "portable", cache: str = "cluster") -> Executor:
        resources = find_resources("cpu", arithmetic, 0, tmp_path / cache, address)
        assert resources.cluster
        clients.append(resources.cluster.client)
        return executor(resources=resources, arithmetic=arithmetic)

    yield make
    for client in clients:
        if client.status == "running":
            client.close(timeout=5)


def _content(executor: Executor) -> dict[str, dict[str, bytes]]:
    """The arrays of the cached runs, by key and name; the order of a file's header is any."""
    return {
        path.name: {name: array.tobytes() for name, array in load_file(path).items()}
        for path in executor.resources.cache.folder.rglob("[!.]*.safetensors")
    }


def _written(folder: Path) -> dict[str, int]:
    """When each run was cached."""
    return {p.name: p.stat().st_mtime_ns for p in folder.rglob("[!.]*.safetensors")}


@contextmanager
def _once_cached(n_runs: int, folder: Path, disturb: Callable[[], object]) -> Iterator[None]:
    """Let something happen beside the block, once some runs are cached."""

    def wait() -> None:
        wait_until(lambda: len(_written(folder)) >= n_runs)
        disturb()

    disturbance = threading.Thread(target=wait)
    disturbance.start()
    yield
    disturbance.join()


def test_a_cluster_gives_the_bytes_of_this_machine(
    workers: Processes, on: MakeExecutor, executor: MakeExecutor, runs: list[Run]
) -> None:
    here, there = executor(2), on(workers.address)
    here(runs, "here")
    there(runs[:2], "some")
    there(runs, "all")
    assert there.trained_on == here.trained_on
    assert _content(there) == _content(here)


def test_a_bug_in_a_training_is_shown(
    workers: Processes, on: MakeExecutor, runs: list[Run]
) -> None:
    beyond = replace(runs[0], score=runs[0].score + 10_000)
    with pytest.raises(IndexError):
        on(workers.address)([beyond], "")


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
        _wait_for(processes, 6)
        execute = on(processes.address, arithmetic="fp32")
        said = capsys.readouterr().err
        changed = [replace(run, config=_in_fp32(run.config)) for run in runs]
        assert len(execute(changed, "")) == len(runs)
    assert "worker changed refused: other training code; install there" in said
    assert "worker old refused: scipy 0.1 there, " in said
    assert "worker foreign refused, it cannot train: ModuleNotFoundError" in said
    assert f"cluster: 2 workers, {execute.trained_on}\n" in said
    assert "not used: 1 workers, fp32: cpu" in said
    assert "ONEDNN_MAX_CPU_ISA=SSE41" in said
    assert ": their results would be others" in said
    assert "SSE41" not in execute.trained_on


def _in_fp32(config: TrainingConfig) -> TrainingConfig:
    training = config.training.model_copy(update={"arithmetic": "fp32"})
    return config.model_copy(update={"training": training})


def _wait_for(processes: Processes, n_workers: int) -> None:
    """Wait until workers have registered."""
    with Client(processes.address, set_as_default=False) as client:
        client.wait_for_workers(n_workers, timeout=60)


@pytest.mark.parametrize(
    "address", [f"tcp://{HOST}:1", f"tls://{HOST}:1", "nowhere:x", "no-host.invalid:1"]
)
def test_an_address_where_nobody_answers_is_said(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("breast_ultrasound.runs.cluster.CONNECT", 0.5)
    threads = set(threading.enumerate())
    with pytest.raises(InputError, match=r"--scheduler .*: expected a Dask scheduler such as tcp"):
        connect(address, "cpu", "portable")
    assert set(threading.enumerate()) <= threads, "a half-open client is left, which may hang"


def test_a_scheduler_without_workers_is_said(tmp_path: Path) -> None:
    setting = dask.config.set({"distributed.scheduler.no-workers-timeout": "1s"})
    said = pytest.raises(InputError, match=r"expected workers, found none; start some with")
    with cluster(tmp_path, n_workers=0) as processes, setting, said:
        connect(processes.address, "cpu", "portable")


@pytest.mark.slow
def test_killed_workers_cost_no_result(
    on: MakeExecutor, executor: MakeExecutor, longer: list[Run], tmp_path: Path
) -> None:
    """One is gone, then the other; its nanny starts it again, at the same address."""
    here = executor(2)
    here(longer, "here")
    with cluster(tmp_path / "cluster", n_workers=1) as processes:
        port = ("--worker-port", str(free_port()))
        nanny = processes.worker("w1", "--nanny", "--host", HOST, *port)
        _wait_for(processes, 2)
        there = on(processes.address)
        folder = there.resources.cache.folder

        def kill_the_other() -> None:
            found = subprocess.run(
                ["pgrep", "-P", str(nanny.pid), "-f", "spawn_main"], capture_output=True, check=True
            )
            os.kill(int(found.stdout.split()[-1]), signal.SIGKILL)

        first = _once_cached(1, folder, lambda: kill(processes.started[1]))
        with first, _once_cached(4, folder, kill_the_other):
            there(longer, "there")
    assert _content(there) == _content(here)


def test_a_worker_keeps_to_its_arithmetic(
    workers: Processes, on: MakeExecutor, runs: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    on(workers.address)(runs[:1], "")
    impatient = dask.config.set({"distributed.scheduler.no-workers-timeout": "1s"})
    with impatient, pytest.raises(InputError, match="expected workers, found none that can be"):
        on(workers.address, arithmetic="fp32")
    said = capsys.readouterr().err
    assert "worker w0 refused, it cannot train: it computes in portable arithmetic" in said


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
    assert len(results) == len(_content(goes_on)) == len(longer)


@pytest.mark.slow
def test_a_lost_scheduler_ends_in_a_line_and_the_next_goes_on(
    on: MakeExecutor, executor: MakeExecutor, longer: list[Run], tmp_path: Path
) -> None:
    here = executor(2)
    here(longer, "here")
    with cluster(tmp_path / "cluster", n_workers=2) as processes:
        there = on(processes.address)
        folder = there.resources.cache.folder

        lost = pytest.raises(InputError, match=r"the connection is lost; finished trainings are")
        with _once_cached(2, folder, lambda: kill(processes.started[0])), lost:
            there(longer, "there")
        before = _written(folder)
        assert 2 <= len(before) < len(longer)
        processes.scheduler()
        processes.worker("w2")
        again = on(processes.address)
        again(longer, "again")
    after = _written(folder)
    assert {name: after[name] for name in before} == before
    assert _content(again) == _content(here)


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
        with pytest.raises(InputError, match=r"expected a Dask scheduler"):
            connect(processes.address, "cpu", "portable")
    assert _content(there) == _content(here)


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
    executor: MakeExecutor,
    longer: list[Run],
    far: tuple[Processes, Callable[[str], bool]],
) -> None:
    """Nobody says that the other end is gone: packets no longer arrive."""
    processes, set_link = far
    here = executor(2)
    here(longer, "here")
    settings = {"distributed.comm.timeouts.tcp": "11s", "distributed.comm.timeouts.connect": "4s"}
    with dask.config.set(settings):
        there = on(processes.address)
        folder = there.resources.cache.folder

        lost = pytest.raises(InputError, match=r"the connection is lost; finished trainings are")
        with _once_cached(2, folder, lambda: set_link("down")), lost:
            there(longer, "there")
    before = _written(folder)
    set_link("up")
    again = on(processes.address)
    again(longer, "again")
    after = _written(folder)
    assert {name: after[name] for name in before} == before
    assert _content(again) == _content(here)
