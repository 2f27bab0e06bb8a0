"""Cutting dev into folds, and the seeds that go with them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.files import InputError


@dataclass(frozen=True)
class Fold:
    """One way to split N images into those to learn from and those to score.

    Attributes:
        repeat, number: which repetition of the cut, and which of its folds is scored, from 0.
        seed: for the training on this fold; the same in every stage, so that runs are reused.
        train, score: int64 indices, ascending, disjoint, together all of 0…N−1.
    """

    repeat: int
    number: int
    seed: int
    train: NDArray[np.int64]
    score: NDArray[np.int64]


def derive_seed(seed: int, *path: int) -> int:
    """Return a seed for the place `path` under `seed`; different paths give unrelated streams."""
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1)[0])


def make_folds(
    malignant: NDArray[np.bool_],
    group: NDArray[np.int64] | None,
    n_splits: int,
    seed: int,
    repeat: int = 0,
) -> list[Fold]:
    """Cut N images into `n_splits` stratified folds, shuffled by `seed` and `repeat`.

    Args:
        malignant: (N,) bool.
        group: (N,) int64, groups that no fold splits; None lets near-duplicates fall apart.

    Raises:
        InputError: there are fewer groups than folds, or a fold would lack a class.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    n_groups = len(malignant if group is None else np.unique(group))
    if n_groups < n_splits:
        raise InputError(f"folds.n_splits: expected at most {n_groups} groups, got {n_splits}")
    rarest = min(int(malignant.sum()), int((~malignant).sum()))
    if rarest < n_splits:
        raise InputError(
            f"folds.n_splits: expected at most {rarest}, the images of the rarer class, "
            f"got {n_splits}"
        )
    splitter = (StratifiedKFold if group is None else StratifiedGroupKFold)(
        n_splits, shuffle=True, random_state=derive_seed(seed, repeat)
    )
    folds = [
        Fold(repeat, number, derive_seed(seed, repeat, number), train, score)
        for number, (train, score) in enumerate(splitter.split(malignant, malignant, group))
    ]
    for fold in folds:
        _check_classes(fold, malignant, n_splits)
    return folds


def _check_classes(fold: Fold, malignant: NDArray[np.bool_], n_splits: int) -> None:
    for name, images in (("train", fold.train), ("score", fold.score)):
        if len(np.unique(malignant[images])) < 2:
            raise InputError(
                f"folds.n_splits: fold {fold.number} has images of one class only to {name}; "
                f"expected both classes, lower folds.n_splits (now {n_splits})"
            )
