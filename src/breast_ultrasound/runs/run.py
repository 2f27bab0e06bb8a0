"""A run: one training as a pure function of what it is given, and the key that names it."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.model.training import (
    Hardware,
    TrainingConfig,
    fit,
    predict,
    weights_of,
)

# The modules that decide a run's result; a test compares them with what training.py imports.
# params.py is left out: the values it reads are in the key, and it computes none.
TRAINING_CODE = (
    "model/augment.py",
    "model/losses.py",
    "model/resnet.py",
    "model/training.py",
    "runs/run.py",
)
DECISIVE_PACKAGES = ("numpy", "scikit-learn", "torch", "torchvision")


@dataclass(frozen=True)
class Run:
    """One training on images of a common array, told by indices into it.

    Attributes:
        config: architecture, loss, schedule, augmentation, learning rate.
        seed: for weights, order, augmentation and dropout.
        train: (T,) int64, the images to learn from.
        score: (S,) int64, the images to score.
        keep_weights: return the weights too.
        best_epoch: keep the epoch with the best AUC on the scored images. That makes their
            scores optimistic: for the baseline's official recipe only.
        initial_weights: start from these instead of random ones.
    """

    config: TrainingConfig
    seed: int
    train: NDArray[np.int64]
    score: NDArray[np.int64]
    keep_weights: bool = False
    best_epoch: bool = False
    initial_weights: Mapping[str, NDArray[np.float32]] | None = None


@dataclass(frozen=True)
class RunResult:
    """What a run returns.

    Attributes:
        logits: (S,) float32, the logits of malignant of the scored images.
        train_loss: (n_epochs,) float64.
        val_auc: (n_epochs,) float64 with `best_epoch`, else (0,).
        weights: name → array with `keep_weights`, else empty.
    """

    logits: NDArray[np.float32]
    train_loss: NDArray[np.float64]
    val_auc: NDArray[np.float64]
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)


def train(
    run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_], hardware: Hardware
) -> RunResult:
    """Carry out one run on images (N, H, W) uint8 with labels (N,) bool."""
    scored = images[run.score]
    fitted = fit(
        run.config,
        images[run.train],
        malignant[run.train],
        run.seed,
        hardware,
        validation=(scored, malignant[run.score]) if run.best_epoch else None,
        initial_weights=run.initial_weights,
    )
    return RunResult(
        logits=predict(fitted.model, scored, hardware, run.config.test_time_augmentation),
        train_loss=fitted.train_loss,
        val_auc=fitted.val_auc,
        weights=weights_of(fitted.model) if run.keep_weights else {},
    )


def key_of(run: Run, data_digest: str, hardware: Hardware) -> str:
    """Return the name of the run's result: a hash of everything that the result depends on."""
    content = {
        "config": run.config.model_dump(),
        "seed": run.seed,
        "train": digest_of({"": run.train}),
        "score": digest_of({"": run.score}),
        "keep_weights": run.keep_weights,
        "best_epoch": run.best_epoch,
        "initial_weights": digest_of(run.initial_weights or {}),
        "data": data_digest,
        "code": code_digest(),
        "versions": versions(),
        "device": device_kind(hardware),
        "precision": hardware.precision,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of arrays: their names, dtypes, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@cache
def code_digest() -> str:
    """Return the SHA-256 of the modules that decide a run's result."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for name in TRAINING_CODE:
        digest.update(f"{name}|".encode() + (package / name).read_bytes())
    return digest.hexdigest()


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that decide a run's result."""
    return {name: metadata.version(name) for name in DECISIVE_PACKAGES}


def device_kind(hardware: Hardware) -> str:
    """Return the kind of device, as far as results depend on it."""
    import torch

    if hardware.device == "cuda":
        return f"cuda {torch.cuda.get_device_name()}"
    words = ["cpu", platform.machine(), torch.backends.cpu.get_cpu_capability()]
    # oneDNN, which computes the convolutions, goes by more than that, and by a limit of its own.
    if torch.cpu.get_capabilities().get("amx_bf16"):
        words.append("AMX")
    if limit := os.environ.get("ONEDNN_MAX_CPU_ISA"):
        words.append(f"limited to {limit}")
    return " ".join(words)
