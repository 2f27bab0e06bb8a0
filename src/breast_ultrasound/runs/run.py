"""A run: one training as a pure function of what it is given, and the key that names it."""

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.model.arithmetic import Device
from breast_ultrasound.model.classifier import logits_of
from breast_ultrasound.model.training import (
    DivergedError,
    TrainingConfig,
    TrainingSet,
    classifier_of,
    fit,
    weights_of,
)

# The modules that decide a run's result; a test compares them with what training.py imports.
# params.py is left out: the values it reads are in the key, and it computes none.
TRAINING_CODE = (
    "model/arithmetic.py",
    "model/augment.py",
    "model/classifier.py",
    "model/losses.py",
    "model/resnet.py",
    "model/training.py",
    "ranking.py",
    "runs/run.py",
)
DECISIVE_PACKAGES = ("numpy", "scipy", "torch", "torchvision")


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
        logits: (S,) float32, the logits of malignant of the scored images; NaN when it diverged.
        train_loss: (n_epochs,) float64; nothing when it diverged.
        val_auc: (n_epochs,) float64 with `best_epoch`, else (0,).
        weights: name → array with `keep_weights`, else empty; empty when it diverged.
    """

    logits: NDArray[np.float32]
    train_loss: NDArray[np.float64]
    val_auc: NDArray[np.float64]
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """Whether the training ended in weights that are not finite."""
        return not len(self.train_loss)


def train(
    run: Run, images: NDArray[np.uint8], malignant: NDArray[np.bool_], device: Device = "cpu"
) -> RunResult:
    """Carry out one run on images (N, S, S) uint8 with labels (N,) bool."""
    try:
        fitted = fit(
            run.config,
            TrainingSet(images, malignant, run.train),
            run.seed,
            device,
            validation=run.score if run.best_epoch else None,
            initial_weights=run.initial_weights,
        )
    except DivergedError:
        return RunResult(np.full(len(run.score), np.nan, np.float32), np.zeros(0), np.zeros(0))
    classifier = classifier_of(run.config, [fitted.model])
    return RunResult(
        logits=logits_of(classifier, images, device, run.score)[0],
        train_loss=fitted.train_loss,
        val_auc=fitted.val_auc,
        weights=weights_of(fitted.model) if run.keep_weights else {},
    )


def key_of(run: Run, data_digest: str, trained_on: str) -> str:
    """Return the name of the run's result: a hash of everything that the result depends on.

    Args:
        trained_on: what the process that trains computes with, see `arithmetic.describe`.
    """
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
        "trained_on": trained_on,
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
    """Return the SHA-256 of the modules that decide a run's result, without their words."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for name in TRAINING_CODE:
        source = (package / name).read_text(encoding="utf-8")
        digest.update(f"{name}|{without_words(source)}|".encode())
    return digest.hexdigest()


def without_words(source: str) -> str:
    """Return what Python does: its syntax tree as text, without comments, docstrings and layout.

    It is the same on all supported versions of Python: unlike `ast.dump` it says nothing of empty
    fields, which versions add, nor of empty parts of f-strings, and unlike `ast.unparse` it does
    not choose their quotes.
    """

    def told(node: Any) -> Any:
        if isinstance(node, list):
            return [told(item) for item in node]
        if not isinstance(node, ast.AST):
            return node
        fields = [(name, told(value)) for name, value in ast.iter_fields(node)]
        return type(node).__name__, [pair for pair in fields if pair[1] not in (None, [])]

    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
        elif isinstance(node, ast.JoinedStr):
            node.values = [part for part in node.values if getattr(part, "value", None) != ""]
    return repr(told(tree))


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that decide a run's result."""
    return {name: metadata.version(name) for name in DECISIVE_PACKAGES}
