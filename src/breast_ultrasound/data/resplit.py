"""Clean splits: the same images in the same proportions, with near-duplicates never apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.files import InputError


def clean_split(
    label: NDArray[Any], group: NDArray[np.int64], split: NDArray[Any], seed: int
) -> NDArray[Any]:
    """Return new splits, (N,), of the same sizes and classes, that no group crosses.

    Args:
        label: (N,), of any type.
        group: (N,) int64, images that stay together.
        split: (N,), of any type: the sizes to keep.

    Each class is divided in the proportions of the sizes. Groups come first, the largest before
    the rest, each to a split that has room for it, at random; single images fill what is left. So
    every size is met, to the image, unless groups are too large for any split.

    Raises:
        InputError: a split is left without images.
    """
    rng = np.random.default_rng(seed)
    names, first, sizes = np.unique(split, return_index=True, return_counts=True)
    appearance = np.argsort(first)  # not by name: 0, 1, 2 and train, val, test must come out alike
    names, sizes = names[appearance], sizes[appearance]
    _, seen, kind, n_kind = np.unique(label, True, True, True)  # index, inverse, counts
    room = _room(sizes, n_kind, seen)
    _, member, n_members = np.unique(group, return_inverse=True, return_counts=True)
    groups = np.split(np.argsort(member, kind="stable"), np.cumsum(n_members)[:-1])
    shuffled = rng.permutation(len(groups))
    result = np.empty_like(split)
    for g in shuffled[np.argsort(-n_members[shuffled], kind="stable")]:
        wanted = np.bincount(kind[groups[g]], minlength=room.shape[1])
        slack = np.where(wanted > 0, room - wanted, np.iinfo(room.dtype).max).min(axis=1)
        fitting = np.nonzero(slack >= 0)[0]
        if len(fitting):
            free = room[fitting].clip(0).sum(axis=1)  # a group too large overdrew another class
            chosen = rng.choice(fitting, p=free / free.sum())
        else:
            chosen = slack.argmax()
        room[chosen] -= wanted
        result[groups[g]] = names[chosen]
    _refuse_empty(names, result, n_members)
    return result


def _refuse_empty(names: NDArray[Any], split: NDArray[Any], n_members: NDArray[np.int64]) -> None:
    """Refuse splits of which one is left without images, by groups too large."""
    if empty := set(names.tolist()) - set(split.tolist()):
        raise InputError(
            f"split {empty.pop()}: expected images for it, got none: near-duplicates stay "
            f"together, and the largest of {len(n_members)} groups has {n_members.max()} of "
            f"{len(split)} images; raise the correlation, or leave frames of one scan out"
        )


def _room(
    sizes: NDArray[np.int64], n_kind: NDArray[np.int64], seen: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return how many images of each kind each split takes, (S, K)."""
    room = np.zeros((len(sizes), len(n_kind)), dtype=np.int64)
    for k in np.lexsort((seen, n_kind)):  # the rarest first; not by name, again
        room[:, k] = apportion(int(n_kind[k]), sizes - room.sum(axis=1))
    return room


def apportion(total: int, sizes: NDArray[Any]) -> NDArray[np.int64]:
    """Cut `total` in proportion to `sizes`, (S,), in whole numbers: largest remainders first."""
    exact = total * sizes / sizes.sum()
    parts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    parts[np.argsort(parts - exact, kind="stable")[: total - parts.sum()]] += 1
    return parts
