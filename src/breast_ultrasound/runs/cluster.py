"""Runs on a Dask cluster: its workers train, and this process keeps what comes back.

`distributed` itself, not joblib's backend for it: runs go to workers of one kind alone, the key of
a run is of the kind that trains it, and each result is kept as it comes. What a lost worker had not
handed over, Dask gives to the next.
"""

import asyncio
import hashlib
import ipaddress
import logging
import queue
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.files import InputError
from breast_ultrasound.model.arithmetic import Device, limit_process
from breast_ultrasound.params import Arithmetic
from breast_ultrasound.runs.device import DeviceChoice, find_device
from breast_ultrasound.runs.run import (
    Run,
    RunResult,
    code_digest,
    digest_of,
    train,
    versions,
)

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

CONNECT = 10.0  # seconds to wait for a scheduler
PATIENCE = 60.0  # seconds to wait for a worker; Dask's own setting for it goes first
LOOK = 2.0  # seconds between looks at which workers are there
HAND_OVER = 60.0  # seconds for a result to arrive that a worker has
MAX_KEPT = 16  # sets of images that a worker keeps: experiments side by side may have others
AGAIN = "finished trainings are kept: run again to go on"


@dataclass(frozen=True)
class Kind:
    """What decides the result of a run on a worker. Runs of a set go to workers of one kind.

    Attributes:
        device: what the worker trains on.
        trained_on: see `arithmetic.describe`, of the worker's own hardware.
        code: see `code_digest`, of what is installed there.
        versions: of the packages there.
    """

    device: Device
    trained_on: str
    code: str
    versions: Mapping[str, str]

    @property
    def resource(self) -> str:
        """The name of the Dask resource of which a worker of this kind has one.

        A worker trains one run at a time, whatever its threads: seeds and thread counts are those
        of its process.
        """
        digest = hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()
        return f"breast-ultrasound {digest[:16]}"

    def other_than_here(self) -> str:
        """Return what makes its results others than this process's, in words, or nothing."""
        differing = [
            f"{name} {self.versions.get(name)} there, {version} here"
            for name, version in versions().items()
            if self.versions.get(name) != version
        ]
        if self.code != code_digest():
            differing.insert(0, "other training code")
        return ", ".join(differing)


@dataclass(frozen=True)
class Data:
    """Images and labels, and the addresses of the workers that have them."""

    images: NDArray[np.uint8]
    malignant: NDArray[np.bool_]
    digest: str
    held_by: set[str] = field(default_factory=set)


@dataclass
class Cluster:
    """The workers of a Dask scheduler.

    Attributes:
        address: of the scheduler.
        kind: of the workers that train.
    """

    address: str
    client: "Client"
    device: DeviceChoice
    arithmetic: Arithmetic
    kind: Kind = field(init=False)
    _met: dict[str, Kind | None] = field(default_factory=dict)  # by address; None: refused
    _usable: int = 0  # workers, when last looked
    _looked: float = 0.0  # when that was
    _seen: float = field(default_factory=time.monotonic)  # when there was one
    _data: Data | None = None

    def __post_init__(self) -> None:
        """Choose the kind of most workers, and say so where there are several.

        Raises:
            InputError: no worker can be used, or none is there.
        """
        while not self._count_workers():
            time.sleep(0.2)
        kinds = [kind for kind in self._met.values() if kind]
        counted = Counter(kind.trained_on for kind in kinds).most_common()
        self.kind = next(kind for kind in kinds if kind.trained_on == counted[0][0])
        self._looked = 0.0
        _say(f"cluster: {counted[0][1]} workers, {counted[0][0]}")
        for trained_on, n_workers in counted[1:]:
            _say(f"not used: {n_workers} workers, {trained_on}: their results would be others")

    @property
    def trained_on(self) -> str:
        """What its workers compute with."""
        return self.kind.trained_on

    def train(
        self, runs: Mapping[str, Run], images: NDArray[np.uint8], malignant: NDArray[np.bool_]
    ) -> Iterator[tuple[str, RunResult]]:
        """Train runs, by their keys, and yield each result as it arrives.

        Raises:
            InputError: the scheduler is lost, no worker comes, or a training kills its workers.
        """
        if not (self._data and self._data.images is images and self._data.malignant is malignant):
            digest = digest_of({"images": images, "malignant": malignant})
            self._data, self._looked = Data(images, malignant, digest), 0.0
        waiting, done = iter(runs.items()), queue.SimpleQueue["Future[RunResult]"]()
        at_work: dict[Future[RunResult], str] = {}
        try:
            while True:
                # No more than can be at work: who dies is suspected of all that it was given.
                for key, run in islice(waiting, max(0, self._count_workers() - len(at_work))):
                    future = self.client.submit(
                        _train, run, self._data.digest, self.kind.device,
                        key=f"breast-ultrasound-{key}", resources={self.kind.resource: 1},
                    )  # fmt: skip
                    future.add_done_callback(done.put)
                    at_work[future] = key
                if not at_work and self._usable:
                    return
                with suppress(queue.Empty):
                    future = done.get(timeout=LOOK)
                    result = self._result_of(future)
                    if result is None:
                        future.add_done_callback(done.put)
                    else:
                        yield at_work.pop(future), result
                        future.release()
        except OSError:
            raise self._lost() from None
        finally:
            for future in at_work:  # nobody else may want them
                future.release()

    def _result_of(self, future: "Future[RunResult]") -> RunResult | None:
        """Return a result; None where the worker that had it is gone, and another makes it."""
        from distributed import KilledWorker

        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                raise InputError(
                    f"--scheduler {self.address}: every worker died that a training was given to, "
                    f"for lack of memory perhaps; start fewer on a machine; {AGAIN}"
                )
            raise error if error else self._lost()
        try:
            return future.result(timeout=HAND_OVER)
        except TimeoutError:
            return None
        except CancelledError:  # nobody knows of it any more: another scheduler
            raise self._lost() from None

    def _lost(self) -> InputError:
        """Give the connection up, and return what to say of it."""
        with suppress(Exception):  # it would try again as the process ends
            self.client.close(timeout=1)
        return InputError(f"--scheduler {self.address}: the connection is lost; {AGAIN}")

    def _count_workers(self) -> int:
        """Return how many workers can be used, and meet those that have come.

        Raises:
            InputError: there was none for long, or the scheduler is lost.
        """
        now = time.monotonic()
        if self.client.status != "running":
            raise self._lost()
        if now < self._looked + LOOK and self._usable:
            return self._usable
        try:
            self._usable = self._meet()
        except (OSError, CancelledError):
            raise self._lost() from None
        self._looked = now
        if self._usable:
            self._seen = now
        elif now > self._seen + _patience():
            found = "none that can be used" if self._met else "none"
            raise InputError(
                f"--scheduler {self.address}: expected workers, found {found}; start some with "
                f"`dask worker {self.address} --nthreads 1` where this version is installed; "
                f"{AGAIN}"
            )
        return self._usable

    def _meet(self) -> int:
        """Look at workers that have come, and refuse by name those that would train otherwise."""
        if (scheduler := self.client.scheduler) is None:
            raise self._lost()
        there = self.client.sync(scheduler.identity, n_workers=-1)["workers"]
        self._met = {
            address: kind
            for address, kind in self._met.items()
            # One that started again at its address has the resource no more.
            if address in there and (kind is None or kind.resource in there[address]["resources"])
        }
        if new := [address for address in there if address not in self._met]:
            said = self.client.run(
                _offer, self.device, self.arithmetic, workers=new, on_error="return"
            )
            self._met |= {
                address: self._accepted(str(there[address]["name"]), kind)
                for address, kind in said.items()
                if not isinstance(kind, OSError)  # it went meanwhile
            }
        wanted = getattr(self, "kind", None)
        usable = [a for a, kind in self._met.items() if kind and wanted in (None, kind)]
        if self._data:
            self._data.held_by.intersection_update(set(usable) - set(new))
            if lacking := [a for a in usable if a not in self._data.held_by]:
                # Not scattered: Dask would send runs where the images lie, and lose them there.
                content = self._data.digest, self._data.images, self._data.malignant
                self.client.run(_keep, *content, workers=lacking, on_error="ignore")
                self._data.held_by.update(lacking)
        return sum(a in new or there[a]["status"] == "running" for a in usable)

    def _accepted(self, name: str, kind: Any) -> Kind | None:
        """Return what a worker says of itself, or None, and a line on stderr, where it is other."""
        if not isinstance(kind, Kind):
            _say(f"worker {name} refused, it cannot train: {kind}")
            return None
        if other := kind.other_than_here():
            _say(f"worker {name} refused: {other}; install there what is installed here")
            return None
        return kind


def connect(address: str, device: DeviceChoice, arithmetic: Arithmetic) -> Cluster:
    """Return the cluster of a scheduler; certificates are as Dask's own settings say.

    Raises:
        InputError: nothing answers there, or no worker can be used.
    """
    from distributed import Client

    for name in ("distributed", "distributed.client"):  # the lines are ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _warn_of_open_doors(address)
    try:
        asyncio.run(_knock(address))
        client = Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--scheduler {address}: expected a Dask scheduler such as tcp://127.0.0.1:8786, none "
            f"answers ({error}); start one with `dask scheduler`"
        ) from None
    try:
        return Cluster(address, client, device, arithmetic)
    except InputError:
        client.close(timeout=1)
        raise


async def _knock(address: str) -> None:
    """Open a connection and close it: a `Client` that cannot leaves its thread behind, half open.

    Raises:
        OSError: nobody answers there.
        ValueError: there is no such address.
        TypeError: it wants certificates, and the settings name none.
    """
    from distributed import Security
    from distributed.comm.core import connect as open_connection

    certificates = Security().get_connection_args("client")
    comm = await open_connection(address, timeout=CONNECT, **certificates)
    await comm.close()


def _warn_of_open_doors(address: str) -> None:
    """Say that whoever reaches a scheduler without TLS can run programs on its machines."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        loopback = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        loopback = parts.hostname == "localhost"
    if parts.scheme not in {"tls", "wss", "inproc"} and not loopback:
        _say(
            f"warning: {address} is not encrypted: whoever reaches it can run programs on its "
            "machines; use tls://, see docs/scaling.md"
        )


# What follows, workers carry out.


_kept: dict[str, tuple[NDArray[np.uint8], NDArray[np.bool_]]] = {}  # by digest


def _keep(digest: str, images: NDArray[np.uint8], malignant: NDArray[np.bool_]) -> None:
    """Keep images and labels for trainings, and some of those before them."""
    _kept[digest] = images, malignant
    for old in list(_kept)[:-MAX_KEPT]:
        del _kept[old]


def _train(run: Run, digest: str, device: Device) -> RunResult:
    """Carry out a run, once its images are there."""
    deadline = time.monotonic() + HAND_OVER
    while digest not in _kept:
        if time.monotonic() > deadline:
            raise TimeoutError("the images of a training did not arrive")
        time.sleep(0.05)
    return train(run, *_kept[digest], device)


_computes_in: list[tuple[DeviceChoice, Arithmetic]] = []  # one process, one arithmetic


async def _offer(device: DeviceChoice, arithmetic: Arithmetic, dask_worker: "Worker") -> Kind:
    """Limit a worker's process before its first tensor, and let it have one training at a time.

    Raises:
        InputError: it was limited to another arithmetic before.
    """
    from distributed import Status

    if _computes_in not in ([], [(device, arithmetic)]):
        raise InputError(f"it computes in {_computes_in[0][1]} arithmetic already: start it again")
    _computes_in[:] = [(device, arithmetic)]
    trained_on = limit_process(arithmetic, found := find_device(device, arithmetic))
    kind = Kind(found, trained_on, code_digest(), versions())
    if kind.resource not in dask_worker.state.total_resources:
        await dask_worker.set_resources(**{kind.resource: 1})
        # The scheduler looks again at what waits for a worker when one begins to run.
        dask_worker.status = Status.paused
        dask_worker.status = Status.running
    return kind


def _patience() -> float:
    import dask
    from dask.utils import parse_timedelta

    setting = dask.config.get("distributed.scheduler.no-workers-timeout", None)
    return PATIENCE if setting is None else float(parse_timedelta(setting))


def _say(text: str) -> None:
    print(" ".join(text.split()), file=sys.stderr)
