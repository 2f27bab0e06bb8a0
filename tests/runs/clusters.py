"""A Dask scheduler and its workers as processes of this machine."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from distributed import Client
from safetensors.numpy import load_file

from breast_ultrasound.runs.execute import Executor
from breast_ultrasound.runs.run import Run
from tools.workspace import ROOT

HOST = "127.0.0.1"


def listens(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((host, port)) == 0


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Processes:
    """A scheduler and its workers.

    Attributes:
        address: of the scheduler.
        options: of both, such as certificates.
        variables: of their environment, besides this process's.
        within: a command that starts others, such as in another network.
    """

    folder: Path
    address: str
    options: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    within: Sequence[str] = ()
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def scheduler(self) -> subprocess.Popen[bytes]:
        """Start the scheduler, at the same address each time, and wait until it listens."""
        host, port = self.address.split("://")[1].split(":")
        process = self._start(
            "scheduler", "--host", host, "--port", port, "--dashboard-address", f"{host}:0"
        )
        wait_until(lambda: listens(host, int(port)))
        return process

    def worker(self, name: str, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker with a process for one training."""
        if "--nanny" not in options:
            options = ("--no-nanny", *options)
        return self._start(
            "worker", self.address, "--name", name, "--nthreads", "1", "--no-dashboard",
            "--memory-limit", "0", "--local-directory", str(self.folder), *options, **variables,
        )  # fmt: skip

    def _start(self, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([variables.pop("code", str(ROOT / "src")), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path, **self.variables, **variables}
        with (self.folder / f"log-{len(self.started)}").open("wb") as log:
            process = subprocess.Popen(
                [*self.within, sys.executable, "-m", "dask", *words, *self.options],
                env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def stop(self) -> None:
        """End all that were started, with what they started."""
        for process in self.started:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def cluster(
    folder: Path,
    n_workers: int = 1,
    scheme: str = "tcp",
    options: Sequence[str] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Processes]:
    """Start a scheduler and workers on the loopback interface; end them in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    processes = Processes(folder, f"{scheme}://{HOST}:{free_port()}", options, variables)
    try:
        processes.scheduler()
        for number in range(n_workers):
            processes.worker(f"w{number}")
        yield processes
    finally:
        processes.stop()


def wait_until(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until a function says yes."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def content(executor: Executor) -> dict[str, dict[str, bytes]]:
    """The arrays of the cached runs, by key and name; the order of a file's header is any."""
    return {
        path.name: {name: array.tobytes() for name, array in load_file(path).items()}
        for path in executor.resources.cache.folder.rglob("[!.]*.safetensors")
    }


def written(folder: Path) -> dict[str, int]:
    """When each run was cached."""
    return {p.name: p.stat().st_mtime_ns for p in folder.rglob("[!.]*.safetensors")}


@contextmanager
def once_cached(n_runs: int, folder: Path, disturb: Callable[[], object]) -> Iterator[None]:
    """Let something happen beside the block, once some runs are cached."""

    def wait() -> None:
        wait_until(lambda: len(written(folder)) >= n_runs)
        disturb()

    disturbance = threading.Thread(target=wait)
    disturbance.start()
    yield
    disturbance.join()


def wait_for(address: str, n_workers: int) -> None:
    """Wait until workers have registered."""
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(n_workers, timeout=60)


def in_fp32(run: Run) -> Run:
    """Return the run in another arithmetic."""
    training = run.config.training.model_copy(update={"arithmetic": "fp32"})
    return replace(run, config=run.config.model_copy(update={"training": training}))
