"""Carrying out runs: those in the cache are read, the others trained side by side and cached."""

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from pickle import PicklingError

import joblib
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.arithmetic import Device, apply_limits, describe, limits
from breast_ultrasound.params import Arithmetic
from breast_ultrasound.runs.cache import RunCache, find_cache
from breast_ultrasound.runs.cluster import Cluster, connect
from breast_ultrasound.runs.device import DeviceChoice, find_device
from breast_ultrasound.runs.run import Run, RunResult, digest_of, key_of, train

MAX_KILLS = 3  # of training processes, until a set of runs is given up


@dataclass(frozen=True)
class Resources:
    """Where runs are computed and kept. The number of workers changes no result.

    Attributes:
        device: of this machine, as the arithmetic of the runs does.
        n_workers: trainings at a time on it, one process and one thread each.
        cache: where results are kept.
        cluster: whose workers train instead, if any.
    """

    device: Device
    n_workers: int
    cache: RunCache
    cluster: Cluster | None = None

    def trained_on(self, arithmetic: Arithmetic) -> str:
        """What the processes that train compute with."""
        return self.cluster.trained_on if self.cluster else describe(arithmetic, self.device)


def find_resources(
    device: DeviceChoice,
    arithmetic: Arithmetic,
    n_workers: int,
    cache: Path | None,
    scheduler: str | None = None,
) -> Resources:
    """Look at this machine, and at the workers of a cluster.

    Args:
        device: as in `find_device`; of the workers too.
        n_workers: 0 takes one per physical core, or one for a GPU.
        cache: folder of the cache; None takes the user's cache folder.
        scheduler: address of a Dask scheduler whose workers are to train.

    Raises:
        InputError: as `find_device` and `cluster.connect`.
    """
    if scheduler:
        cluster = connect(scheduler, device, arithmetic)
        # Another's GPU does not score here.
        local = find_device("auto" if device == "cuda" else device, arithmetic)
        return Resources(local, 1, find_cache(cache), cluster)
    found = find_device(device, arithmetic)
    automatic = 1 if found == "cuda" else joblib.cpu_count(only_physical_cores=True)
    return Resources(found, n_workers or automatic, find_cache(cache))


@dataclass(frozen=True)
class Executor:
    """Carries out runs on one set of images.

    Attributes:
        images: (N, S, S) uint8, which the runs' indices point into.
        malignant: (N,) bool.
        resources: where to compute, and the cache.
        arithmetic: of every run.
        also_train: images of the same size that every run learns from besides, and none scores.
    """

    images: NDArray[np.uint8]
    malignant: NDArray[np.bool_]
    resources: Resources
    arithmetic: Arithmetic
    also_train: ImageSet | None = None

    @cached_property
    def _everything(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The images and labels, those of `also_train` after the others."""
        if not self.also_train:
            return self.images, self.malignant
        return (
            np.concatenate([self.images, self.also_train.images]),
            np.concatenate([self.malignant, self.also_train.malignant]),
        )

    @property
    def trained_on(self) -> str:
        """What the processes that train compute with."""
        return self.resources.trained_on(self.arithmetic)

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 of the images and labels, without those of `also_train`."""
        return digest_of({"images": self.images, "malignant": self.malignant})

    @cached_property
    def _digest(self) -> str:
        """SHA-256 of all images and labels, for the keys of runs."""
        images, malignant = self._everything
        return digest_of({"images": images, "malignant": malignant})

    def __call__(self, runs: Sequence[Run], label: str) -> list[RunResult]:
        """Return the result of each run, from the cache or trained now.

        Each result is cached the moment it is there: a kill loses only what was under way.

        Args:
            label: what the progress bar says.
        """
        if others := {run.config.training.arithmetic for run in runs} - {self.arithmetic}:
            raise ValueError(f"expected runs in {self.arithmetic} arithmetic, got {others}")
        if self.also_train:
            more = np.arange(len(self.images), len(self._everything[0]))
            runs = [replace(run, train=np.concatenate([run.train, more])) for run in runs]
        if self.resources.cluster:
            self.resources.cluster.choose(lambda kind: self._count_cached(runs, kind))
        digest, trained_on = self._digest, self.trained_on
        keys = [key_of(run, digest, trained_on) for run in runs]
        results = {key: self.resources.cache.load(key) for key in dict.fromkeys(keys)}
        missing = {key: run for key, run in zip(keys, runs, strict=True) if results[key] is None}
        if missing:
            self.resources.cache.prepare()
            n_cached = len(results) - len(missing)
            results.update(self._train(missing, f"{label} ({n_cached} cached)"))
        else:
            print(f"{label}: all {len(results)} cached", file=sys.stderr)
        return [result for key in keys if (result := results[key]) is not None]

    def _count_cached(self, runs: Sequence[Run], trained_on: str) -> int:
        keys = {key_of(run, self._digest, trained_on) for run in runs}
        return sum(self.resources.cache.path_of(key).exists() for key in keys)

    def _train(self, missing: Mapping[str, Run], label: str) -> dict[str, RunResult]:
        """Train and cache what is missing, in as many processes as there are workers.

        A process that the system kills, mostly for lack of memory, takes the others with it; what
        they had not finished starts again.

        Raises:
            InputError: processes were killed `MAX_KILLS` times.
        """
        finished: dict[str, RunResult] = {}
        for kills in range(1, MAX_KILLS + 1):
            left = {key: run for key, run in missing.items() if key not in finished}
            try:
                for key, result in self._train_once(left, label):
                    finished[key] = result
                return finished
            except BrokenProcessPool:
                stored = {key: self.resources.cache.load(key) for key in left.keys() - finished}
                finished |= {key: result for key, result in stored.items() if result is not None}
                n_left = len(missing) - len(finished)
                if not n_left:
                    return finished
                print(
                    f"a training process was killed, for lack of memory perhaps ({kills} of "
                    f"{MAX_KILLS}): {n_left} trainings of this round are not finished",
                    file=sys.stderr,
                )
        raise InputError(
            f"training processes were killed {MAX_KILLS} times; free memory, or set "
            "BREAST_ULTRASOUND_WORKERS=1, and run again: finished trainings are kept"
        )

    def _train_once(self, runs: Mapping[str, Run], label: str) -> Iterator[tuple[str, RunResult]]:
        """Train runs side by side, and yield each result when it is cached."""
        cluster = self.resources.cluster
        done = self._train_on(cluster, runs) if cluster else self._train_here(runs)
        with _progress() as progress:
            yield from progress.track(done, total=len(runs), description=label)

    def _train_on(
        self, cluster: Cluster, runs: Mapping[str, Run]
    ) -> Iterator[tuple[str, RunResult]]:
        """Train runs on a cluster's workers; this process alone writes the cache."""
        for key, result in cluster.train(runs, *self._everything):
            self.resources.cache.save(key, result)
            yield key, result

    def _train_here(self, runs: Mapping[str, Run]) -> Iterator[tuple[str, RunResult]]:
        """Train runs in processes of this machine.

        Every training has a process that was limited before its first tensor: joblib would train
        in this one for a single job, so there are two, of which one works. It makes its processes
        anew when the limits are others.
        """
        n_workers = min(self.resources.n_workers, len(runs))
        parallel = joblib.Parallel(
            n_jobs=max(2, n_workers),
            pre_dispatch=n_workers,
            batch_size=1,
            # Large arrays are mapped, not copied to each process, from files in the cache folder:
            # own images are written nowhere else.
            mmap_mode="c",
            temp_folder=str(self.resources.cache.folder),
            return_as="generator_unordered",
            initializer=apply_limits,
            initargs=(limits(self.arithmetic),),
        )
        with _without_interrupts():
            done = parallel(
                joblib.delayed(_train_and_store)(key, run, *self._everything, self.resources)
                for key, run in runs.items()
            )
        try:
            yield from done
        except PicklingError:  # joblib's name for a disk that is full
            raise InputError(
                f"{self.resources.cache.folder}: cannot lay out the images for trainings there; "
                "make room or name another folder with --cache or BREAST_ULTRASOUND_CACHE"
            ) from None


def make_executor(
    images: ImageSet,
    also_train: ImageSet,
    arithmetic: Arithmetic,
    device: DeviceChoice,
    n_workers: int,
    cache: Path | None,
    scheduler: str | None = None,
) -> Executor:
    """Return what carries out runs on a set of images; see `Executor` and `find_resources`."""
    resources = find_resources(device, arithmetic, n_workers, cache, scheduler)
    return Executor(images.images, images.malignant, resources, arithmetic, also_train)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: they would only add their tracebacks to the line.

    A mask of signals is inherited. What comes meanwhile arrives at the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _train_and_store(
    key: str,
    run: Run,
    images: NDArray[np.uint8],
    malignant: NDArray[np.bool_],
    resources: Resources,
) -> tuple[str, RunResult]:
    """Carry out one run in a worker process."""
    result = train(run, images, malignant, resources.device)
    resources.cache.save(key, result)
    return key, result


def _progress() -> Progress:
    """Return a bar on stderr with an estimate of the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
