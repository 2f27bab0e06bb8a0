"""What the workers of a cluster carry out."""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.files import InputError
from breast_ultrasound.model.arithmetic import Device, limit_process
from breast_ultrasound.params import Arithmetic
from breast_ultrasound.runs.device import DeviceChoice, find_device
from breast_ultrasound.runs.run import Run, RunResult, code_digest, train, versions, without_words

if TYPE_CHECKING:
    from distributed import Worker

MAX_KEPT = 2**30  # bytes of images that a worker keeps besides the newest set


@dataclass(frozen=True)
class Kind:
    """What decides the result of a run on a worker. Runs of a set go to workers of one kind.

    Attributes:
        device: what the worker trains on.
        trained_on: see `arithmetic.describe`, of the worker's own hardware.
        code: see `code`, of what is installed there.
        versions: of the packages there.
    """

    device: Device
    trained_on: str
    code: str
    versions: Mapping[str, str]

    def resource(self, data: str) -> str:
        """The name of the Dask resource of which a worker has one that has images, by digest."""
        content = repr([sorted(asdict(self).items()), data])
        return f"breast-ultrasound {hashlib.sha256(content.encode()).hexdigest()[:16]}"

    def other_than_here(self) -> str:
        """Return what makes its results others than this process's, in words, or nothing."""
        differing = [
            f"{name} {self.versions.get(name)} there, {version} here"
            for name, version in versions().items()
            if self.versions.get(name) != version
        ]
        if self.code != code():
            differing.insert(0, "other training code")
        return ", ".join(differing)


class ImagesAwayError(Exception):
    """A worker has put away the images of a training that it was given."""


@cache
def code() -> str:
    """Return the SHA-256 of what decides a result on a worker, without its words."""
    mine = without_words(Path(__file__).read_text(encoding="utf-8"))
    return hashlib.sha256(f"{code_digest()}{mine}".encode()).hexdigest()


code()  # of what is imported, whatever becomes of the files


_kept: dict[str, dict[str, tuple[NDArray[np.uint8], NDArray[np.bool_]]]] = {}  # by worker, digest
_one_training = threading.Lock()  # seeds and thread counts are of a process
_computes_in: list[tuple[Device, Arithmetic]] = []  # one process, one arithmetic


def offer(device: DeviceChoice, arithmetic: Arithmetic) -> Kind:
    """Limit a worker's process, before its first tensor, and say what it is.

    Raises:
        InputError: it was limited to another arithmetic before, or its installation cannot be read.
    """
    try:
        found = find_device(device, arithmetic)
    except OSError as error:  # such an answer would be taken for a lost connection
        raise InputError(f"{type(error).__name__}: {error}") from None
    if _computes_in not in ([], [(found, arithmetic)]):
        on, before = _computes_in[0]
        raise InputError(f"it computes in {before} arithmetic on {on} already: start it again")
    _computes_in[:] = [(found, arithmetic)]
    return Kind(found, limit_process(arithmetic, found), code(), versions())


async def keep(
    device: DeviceChoice, arithmetic: Arithmetic, digest: str, images: NDArray[np.uint8],
    malignant: NDArray[np.bool_], dask_worker: "Worker",
) -> Kind:  # fmt: skip
    """Keep images and labels, and let the worker have trainings of them, one at a time."""
    from distributed import Status

    kind = offer(device, arithmetic)
    kept = _kept.setdefault(dask_worker.address, {})
    kept.pop(digest, None)
    kept[digest] = images, malignant  # the newest
    resources = {kind.resource(digest): 1}
    while len(kept) > 1 and sum(one.nbytes for one, _ in kept.values()) > MAX_KEPT + images.nbytes:
        resources[kind.resource(oldest := next(iter(kept)))] = 0
        del kept[oldest]
    await dask_worker.set_resources(**resources)
    if dask_worker.status == Status.running:
        # The scheduler looks again at what waits for a worker when one begins to run.
        dask_worker.status = Status.paused
        dask_worker.status = Status.running
    return kind


def train_kept(run: Run, digest: str, device: Device) -> RunResult:
    """Carry out a run of images that the worker has.

    Raises:
        ImagesAwayError: it has them no longer.
    """
    from distributed import get_worker

    try:
        images, malignant = _kept[get_worker().address][digest]
    except KeyError:
        raise ImagesAwayError from None
    with _one_training:
        return train(run, images, malignant, device)
