"""Pictures: what the data look like, and how the results compare."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import SPLITS
from breast_ultrasound.data.twins import Twins, conflicting
from breast_ultrasound.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MALIGNANT_COLOUR, BENIGN_COLOUR = "#c1432e", "#3a6ea5"
BASELINE_COLOUR, FINAL_COLOUR = "#8c8c8c", "#1b7f6b"
N_TWIN_PAIRS = 16
LABEL_COLOURS = {"malignant": MALIGNANT_COLOUR, "benign": BENIGN_COLOUR}


@contextmanager
def _figure(path: Path, **options: Any) -> Iterator["Figure"]:
    """Yield a figure that is saved to `path`; the same figure gives the same bytes."""
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", **options)
    yield figure
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png", metadata={"Software": None})


def class_balance(malignant: NDArray[np.bool_], split: NDArray[np.int64], path: Path) -> None:
    """Draw the number of malignant and other images of each official split."""
    with _figure(path, figsize=(6, 3.2)) as figure:
        axes = figure.subplots()
        left = np.zeros(len(SPLITS))
        for word, colour, mask in (
            ("malignant", MALIGNANT_COLOUR, malignant),
            ("benign or normal", BENIGN_COLOUR, ~malignant),
        ):
            counts = np.array([(mask & (split == i)).sum() for i in range(len(SPLITS))])
            bars = axes.barh(SPLITS, counts, left=left, color=colour, label=word)
            axes.bar_label(bars, label_type="center", color="white")
            left += counts
        axes.invert_yaxis()
        axes.set_xlabel("images")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower right", frameon=False)


def sample_images(
    images: NDArray[np.uint8], malignant: NDArray[np.bool_], path: Path, seed: int
) -> None:
    """Show up to 16 random images of each class, malignant above."""
    rng = np.random.default_rng(seed)
    with _figure(path, figsize=(9, 5.2)) as figure:
        grid = figure.subplots(4, 8)
        for rows, mask, word in (
            (grid[:2], malignant, "malignant"),
            (grid[2:], ~malignant, "benign"),
        ):
            chosen = rng.permutation(np.nonzero(mask)[0])[: rows.size]
            for axes in rows.flat:
                axes.axis("off")
            for axes, i in zip(rows.flat, chosen, strict=False):
                _show(axes, images[i], word, MALIGNANT_COLOUR if malignant[i] else BENIGN_COLOUR)


def twin_pairs(
    images: NDArray[np.uint8],
    split: NDArray[np.str_],
    label: NDArray[np.str_],
    twins: Twins,
    path: Path,
) -> None:
    """Show the strongest near-twin pairs across splits, with the name of their split and label.

    Pairs whose labels contradict come first, then those that correlate most.
    """
    first, second = twins.pairs.T
    across = np.nonzero(split[first] != split[second])[0]
    conflict = conflicting(label, twins)[across]
    order = across[np.lexsort((-twins.correlation[across], ~conflict))][:N_TWIN_PAIRS]
    n_rows = max(1, -(-len(order) // 4))
    with _figure(path, figsize=(10, 0.4 + 2 * n_rows)) as figure:
        cells: Any = figure.subfigures(n_rows, 4)
        figure.suptitle(f"Near-twins across splits, {len(order)} of {len(across)}: conflicts first")
        for cell, pair in zip(cells.flat, order, strict=False):
            cell.suptitle(f"r = {twins.correlation[pair]:.3f}", fontsize=9)
            for axes, i in zip(cell.subplots(1, 2), twins.pairs[pair], strict=True):
                colour = LABEL_COLOURS.get(str(label[i]), "black")
                _show(axes, images[i], f"{split[i]}\n{label[i]}", colour)


def _show(axes: "Axes", image: NDArray[np.uint8], title: str, colour: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=8, color=colour)
    axes.axis("off")


def results(scores: Mapping[str, Any], path: Path) -> None:
    """Draw AUC and accuracy of both models with their intervals, on test and leak-free test."""
    rows = [
        (f"{model}, {words}", scores[model][part], colour)
        for model, colour in (("baseline", BASELINE_COLOUR), ("final", FINAL_COLOUR))
        for part, words in (("test", "all test images"), ("leak_free", "leak-free only"))
        if part in scores[model]
    ]
    with _figure(path, figsize=(8, 2.8)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name, title in zip(panels, ("auc", "accuracy"), ("AUC", "accuracy"), strict=True):
            _intervals(axes, rows, name)
            axes.set_title(title)


def leakage(effects: Mapping[str, Any], path: Path) -> None:
    """Draw what near-twins do: scores on leaked minus leak-free images, and of knowing twins."""
    gaps = effects.get("leaked_minus_leak_free", {})
    contrast = effects["final_minus_retrained"]
    rows = [
        (f"{words}: leaked − leak-free images", gaps[model], colour)
        for model, words, colour in (
            ("baseline", "baseline", BASELINE_COLOUR),
            ("final", "final", FINAL_COLOUR),
            ("retrained", "retrained without twins", FINAL_COLOUR),
            ("nearest_neighbour", "nearest neighbour", MALIGNANT_COLOUR),
        )
        if model in gaps
    ]
    rows += [
        (f"final − retrained without twins: {words}", contrast[part], BENIGN_COLOUR)
        for part, words in (("leaked", "leaked"), ("leak_free", "leak-free"), ("test", "all"))
        if part in contrast
    ]
    with _figure(path, figsize=(10, 3.6)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name in zip(panels, ("auc", "accuracy"), strict=True):
            _intervals(axes, rows, name)
            axes.axvline(0, color="black", lw=0.8)
            axes.set_title(f"difference in {'AUC' if name == 'auc' else name}")


def _intervals(axes: "Axes", rows: Sequence[tuple[str, Any, str]], name: str) -> None:
    """Draw the score `name` of each labelled row as a dot on its interval."""
    for y, (_, row, colour) in enumerate(rows):
        axes.plot([row[f"{name}_low"], row[f"{name}_high"]], [y, y], color=colour, lw=3)
        axes.plot(row[name], y, "o", color=colour, ms=8)
        axes.annotate(
            f"{row[name]:.3f}",
            (row[name], y),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
