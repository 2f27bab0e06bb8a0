"""Runs on a Dask cluster: its workers train, and this process keeps what comes back.

`distributed` itself, not joblib's backend for it: runs go to workers of one kind alone, the key of
a run is of the kind that trains it, and each result is kept as it comes. What a lost worker had not
handed over, Dask gives to the next.

Nothing here waits for a single worker: each is asked, and each result fetched, in the client's
thread.
"""

import asyncio
import concurrent.futures
import ipaddress
import logging
import queue
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.files import InputError
from breast_ultrasound.params import Arithmetic
from breast_ultrasound.runs.device import DeviceChoice
from breast_ultrasound.runs.run import Run, RunResult, digest_of
from breast_ultrasound.runs.worker import (
    ImagesAwayError,
    Kind,
    code,
    keep,
    offer,
    train_kept,
)

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT = 10.0  # seconds to wait for a scheduler
ANSWER = 30.0  # seconds that a scheduler or a worker may take to answer
PATIENCE = 60.0  # seconds to wait for a worker; Dask's own setting for it goes first
SLOW_START = 180.0  # seconds for workers that are there to import the project, many on a machine
SOON, LATER = 0.1, 2.0  # seconds between looks at which workers are there: when they change, or not
MAX_SENDING = 4  # workers that are sent images at a time: they pass through the scheduler
SLOWEST = 1e6  # bytes of images a second that a worker must be able to take meanwhile
Fetched = concurrent.futures.Future[Any]  # what arrives in the client's thread
AGAIN = "finished trainings are kept: run again to go on"


@dataclass
class Cluster:
    """The workers of a Dask scheduler.

    Attributes:
        address: of the scheduler.
        kind: of the workers that train; None: not chosen yet.
    """

    address: str
    client: "Client"
    device: DeviceChoice
    arithmetic: Arithmetic
    kind: Kind | None = None
    _met: dict[str, Kind | None] = field(default_factory=dict)  # by worker; None: refused
    _asked: "dict[str, Fetched]" = field(default_factory=dict)
    _receiving: set[str] = field(default_factory=set)  # workers that are being sent images
    _silent: set[str] = field(default_factory=set)  # workers that did not answer
    _data: tuple[str, NDArray[np.uint8], NDArray[np.bool_]] | None = None  # digest, images, labels
    _usable: int = 0  # workers, when last looked
    _looked: float = 0.0  # when that was
    _pause: float = SOON  # until the next look
    _seen: float = field(default_factory=time.monotonic)  # when there was one
    _sending: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_SENDING))

    def wait_for_workers(self) -> None:
        """Return once a worker can be used, and all have answered or had their time to.

        Raises:
            InputError: no worker can be used, or none is there.
        """
        began = self._seen = time.monotonic()
        while not self._count_workers() or (self._asked and time.monotonic() < began + ANSWER):
            time.sleep(self._pause)

    def choose(self, n_cached: Callable[[str], int] = lambda _: 0) -> Kind:
        """Return the kind that trains; the first time, choose it, and say if there are several.

        Args:
            n_cached: how many of the runs that are asked for are cached already, as trained on what
                a kind trains on: the kind of most of them goes on, else that of most workers.
        """
        if self.kind:
            return self.kind
        kinds = [kind for kind in self._met.values() if kind]
        counted = Counter(kind.trained_on for kind in kinds)
        order = sorted(counted, key=lambda name: (-n_cached(name), -counted[name], name))
        self.kind = chosen = next(kind for kind in kinds if kind.trained_on == order[0])
        _say(f"cluster: {counted[order[0]]} workers, {order[0]}")
        for name in order[1:]:
            _say(f"not used: {counted[name]} workers, {name}: their results would be others")
        return chosen

    @property
    def trained_on(self) -> str:
        """What its workers compute with."""
        return self.choose().trained_on

    def train(
        self, runs: Mapping[str, Run], images: NDArray[np.uint8], malignant: NDArray[np.bool_]
    ) -> Iterator[tuple[str, RunResult]]:
        """Train runs, by their keys, and yield each result as it arrives.

        Raises:
            InputError: the scheduler is lost, no worker comes, or a training kills its workers.
        """
        if not (self._data and self._data[1] is images and self._data[2] is malignant):
            digest = digest_of({"images": images, "malignant": malignant})
            self._data, self._looked = (digest, images, malignant), 0.0
        self._seen = time.monotonic()
        waiting, done = list(runs.items())[::-1], queue.SimpleQueue[Fetched]()
        at_work: dict[Fetched, tuple[str, Future[RunResult]]] = {}
        try:
            while waiting or at_work:
                # No more than can be at work: who dies is suspected of all that it was given.
                while self._count_workers() > len(at_work) and waiting:
                    key, run = waiting.pop()
                    future = self._submit(key, run, self._data[0])
                    fetched = self._beside(_fetch(future))
                    at_work[fetched] = key, future
                    fetched.add_done_callback(done.put)
                with suppress(queue.Empty):
                    fetched = done.get(timeout=self._pause)
                    key, future = at_work[fetched]
                    result = self._result_of(fetched, future)
                    del at_work[fetched]
                    future.release()
                    if result is None:
                        waiting.append((key, runs[key]))
                    else:
                        yield key, result
        finally:
            for fetched, (_, future) in at_work.items():  # nobody else may want them
                fetched.cancel()
                future.release()

    def _submit(self, key: str, run: Run, data: str) -> "Future[RunResult]":
        kind = self.choose()
        try:
            return self.client.submit(
                train_kept, run, data, kind.device,
                key=f"breast-ultrasound-{key}", resources={kind.resource(data): 1},
            )  # fmt: skip
        except Exception:
            if self.client.status == "running":
                raise
            raise self._lost() from None

    def _result_of(self, fetched: Fetched, future: "Future[RunResult]") -> RunResult | None:
        """Return a result; None where no worker had the images, and another is to train."""
        from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError

        try:
            result: RunResult = fetched.result()
            return result
        except KilledWorker:
            raise InputError(
                f"--scheduler {self.address}: every worker died that a training was given to, "
                f"for lack of memory perhaps; start fewer on a machine; {AGAIN}"
            ) from None
        except (ImagesAwayError, NoValidWorkerError, NoWorkerError):  # our patience decides
            return None
        except Exception:
            if future.status == "error":  # of the training
                raise
            raise self._lost() from None  # another scheduler knows nothing of it

    def _beside(self, what: Coroutine[Any, Any, Any]) -> Fetched:
        """Let something happen in the client's thread."""
        loop: Any = self.client.loop
        return asyncio.run_coroutine_threadsafe(what, loop.asyncio_loop)

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
        if now < self._looked + self._pause:
            return self._usable
        before = self._usable, set(self._met), set(self._asked)
        try:
            self._usable = self._meet()
        except (OSError, concurrent.futures.CancelledError):
            raise self._lost() from None
        same = before == (self._usable, set(self._met), set(self._asked))
        self._pause = min(2 * self._pause, LATER) if same else SOON
        self._looked = now
        if self._usable or self._receiving - self._silent:
            self._seen = now
        elif now > self._seen + max(_patience(), SLOW_START if self._asked else 0):
            found = "none that can be used" if self._met or self._asked else "none"
            raise InputError(
                f"--scheduler {self.address}: expected workers, found {found}; start some with "
                f"`dask worker {self.address} --nthreads 1` where this version is installed; "
                f"{AGAIN}"
            )
        return self._usable

    def _meet(self) -> int:
        """Ask workers that have come what they are, and send images to those that train.

        Returns how many can be used: those that have the images, once there are some.
        """
        if (scheduler := self.client.scheduler) is None:
            raise self._lost()
        answered = [worker for worker, question in self._asked.items() if question.done()]
        answer = self.client.sync(scheduler.identity, n_workers=-1, callback_timeout=ANSWER)
        # One that started again, at its old address, has another folder.
        there = {f"{a} {one['local_directory']}": (a, one) for a, one in answer["workers"].items()}
        self._met = {worker: kind for worker, kind in self._met.items() if worker in there}
        for worker in self._asked.keys() - there:
            self._asked.pop(worker).cancel()
        for worker in self._asked.keys() & set(answered):
            self._heard(worker, str(there[worker][1]["name"]), self._asked.pop(worker))
        self._receiving &= self._asked.keys()
        usable = 0
        for worker, (address, one) in there.items():
            kind, wanted = self._met.get(worker), self._resource
            has_images = bool(one["resources"].get(wanted))
            if worker in self._silent and has_images:
                # Dask would give it trainings. It is sent the images again once it answers.
                self._beside(scheduler.set_resources(worker=address, resources={wanted: 0}))
            elif kind and self.kind in (None, kind) and (has_images or not self._data):
                usable += one["status"] == "running"
            elif worker not in self._asked and worker not in self._met:
                self._ask(worker, address, offer)
            elif worker not in self._asked and self._data and kind and kind == self.kind:
                self._receiving.add(worker)
                self._ask(worker, address, keep, *self._data)
        return usable

    @property
    def _resource(self) -> str:
        """What a worker has that can be given a training."""
        return self.kind.resource(self._data[0]) if self.kind and self._data else ""

    def _ask(self, worker: str, address: str, function: Callable[..., Any], *data: Any) -> None:
        """Let a worker carry out a function, in the background."""
        seconds = ANSWER + sum(one.nbytes for one in data[1:]) / SLOWEST

        async def ask() -> Any:
            answers = await self.client.run(
                function, self.device, self.arithmetic, *data,
                workers=[address], on_error="return", asynchronous=True, callback_timeout=seconds,
            )  # fmt: skip
            return answers[address]

        async def ask_in_turn() -> Any:
            async with self._sending:
                return await ask()

        self._asked[worker] = self._beside(ask_in_turn() if data else ask())

    def _heard(self, worker: str, name: str, asked: Fetched) -> None:
        """Take a worker's answer: what it is, or a line on stderr why it is not used."""
        try:
            kind = asked.result()
        except Exception as error:
            kind = error
        if isinstance(kind, OSError | concurrent.futures.CancelledError):
            # It went meanwhile, or does not answer: it is asked again.
            if isinstance(kind, TimeoutError) and worker not in self._silent:
                self._silent.add(worker)
                _say(f"worker {name} does not answer: not used until it does")
            return
        self._silent.discard(worker)
        if not isinstance(kind, Kind):
            _say(f"worker {name} refused, it cannot train: {str(kind) or type(kind).__name__}")
            self._met[worker] = None
        elif other := kind.other_than_here():
            _say(f"worker {name} refused: {other}; install there what is installed here")
            self._met[worker] = None
        else:
            if self.kind and kind != self.kind:
                _say(f"worker {name} not used, {kind.trained_on}: its results would be others")
            self._met[worker] = kind


def connect(address: str, device: DeviceChoice, arithmetic: Arithmetic) -> Cluster:
    """Return the cluster of a scheduler; certificates are as Dask's own settings say.

    Raises:
        InputError: nothing answers there, or no worker can be used.
    """
    from distributed import Client

    for name in ("distributed", "distributed.client"):  # the lines are ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _check_address(address)
    try:
        asyncio.run(asyncio.wait_for(_knock(address), CONNECT))
        client = Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, TypeError) as error:  # TypeError: no certificates
        reason = str(error) or f"silent for {CONNECT:g} seconds"
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers ({reason}); start one with `dask "
            "scheduler`; with certificates it is tls://, and Dask's settings name them, see "
            "docs/scaling.md"
        ) from None
    cluster = Cluster(address, client, device, arithmetic)
    try:
        _check_scheduler(cluster)
        cluster.wait_for_workers()
    except InputError:
        client.close(timeout=1)
        raise
    return cluster


def _check_address(address: str) -> None:
    """Refuse what is no address; warn where whoever reaches it can run programs on its machines.

    Raises:
        InputError: it is none.
    """
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in {"tcp", "tls"} and parts.hostname and parts.port
    except ValueError:
        is_one = False
    if not is_one:
        raise InputError(
            f"--scheduler {address}: expected tcp://HOST:PORT or tls://HOST:PORT, as a Dask "
            "scheduler prints when it starts"
        )
    try:
        loopback = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        loopback = parts.hostname == "localhost"
    if parts.scheme == "tcp" and not loopback:
        _say(
            f"warning: {address} is not encrypted: whoever reaches it can run programs on its "
            "machines; use tls://, see docs/scaling.md"
        )


async def _fetch(future: "Future[RunResult]") -> RunResult:
    return await future  # type: ignore[no-any-return]


async def _knock(address: str) -> None:
    """Open a connection and close it: a `Client` that cannot leaves its thread behind, half open.

    Raises:
        OSError: nobody answers there, or with certificates that are not ours.
        TypeError: it wants certificates, and the settings name none.
    """
    from distributed import Security
    from distributed.comm.core import connect as open_connection

    certificates = Security().get_connection_args("client")
    comm = await open_connection(address, timeout=CONNECT, **certificates)
    await comm.close()


def _check_scheduler(cluster: Cluster) -> None:
    """Refuse a scheduler that cannot read what it is to hand on.

    Raises:
        InputError: this project cannot be imported there, or it does not answer.
    """
    try:
        cluster.client.run_on_scheduler(code, callback_timeout=ANSWER)
    except OSError:
        raise cluster._lost() from None
    except Exception as error:
        raise InputError(
            f"--scheduler {cluster.address}: it cannot import this project "
            f"({type(error).__name__}: {error}); start it where this version is installed"
        ) from None


def _patience() -> float:
    import dask
    from dask.utils import parse_timedelta

    setting = dask.config.get("distributed.scheduler.no-workers-timeout", None)
    return PATIENCE if setting is None else float(parse_timedelta(setting))


def _say(text: str) -> None:
    print(" ".join(text.split()), file=sys.stderr)
