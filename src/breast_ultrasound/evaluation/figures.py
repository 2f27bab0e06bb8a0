"""Figures: what the data look like, and how the results compare."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import SPLITS
from breast_ultrasound.data.near_duplicates import NearDuplicates, conflicting
from breast_ultrasound.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MALIGNANT_COLOUR, BENIGN_COLOUR = "#c1432e", "#3a6ea5"
BASELINE_COLOUR, FINAL_COLOUR = "#8c8c8c", "#1b7f6b"
N_PAIRS = 16
LABEL_COLOURS = {"malignant": MALIGNANT_COLOUR, "benign": BENIGN_COLOUR}


@contextmanager
def open_figure(path: Path, **options: Any) -> Iterator["Figure"]:
    """Yield a figure that is saved to `path`; the same figure gives the same bytes.

    It is drawn into a file in matplotlib's default style, whatever backend and style the user has
    chosen: DVC compares the bytes.
    """
    matplotlib = _import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = {key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"}
    with matplotlib.rc_context(style):
        figure = Figure(layout="constrained", **options)
        FigureCanvasAgg(figure)
        yield figure
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=100, format="png", metadata={"Software": None})


def _import_matplotlib() -> ModuleType:
    """Import matplotlib; a backend that it does not know, or a broken style, would end the import.

    Notebooks export a backend of theirs to all that is run from them.
    """
    spec = find_spec("matplotlib")
    style = Path(spec.origin if spec and spec.origin else "").parent / "mpl-data" / "matplotlibrc"
    own = {"MPLBACKEND": "agg", "MATPLOTLIBRC": str(style)}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        import matplotlib

        return matplotlib
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def class_balance(malignant: NDArray[np.bool_], split: NDArray[np.str_], path: Path) -> None:
    """Draw the number of malignant and other images of each split."""
    with open_figure(path, figsize=(6, 3.2)) as figure:
        axes = figure.subplots()
        left = np.zeros(len(SPLITS))
        for word, colour, mask in (
            ("malignant", MALIGNANT_COLOUR, malignant),
            ("benign or normal", BENIGN_COLOUR, ~malignant),
        ):
            counts = np.array([(mask & (split == name)).sum() for name in SPLITS])
            bars = axes.barh(SPLITS, counts, left=left, color=colour, label=word)
            axes.bar_label(bars, label_type="center", color="white")
            left += counts
        axes.invert_yaxis()
        axes.set_xlabel("images")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower right", frameon=False)


def not_shown(reason: str, path: Path) -> None:
    """Say that images are not shown, and why."""
    with open_figure(path, figsize=(6, 1)) as figure:
        figure.text(0.5, 0.5, f"Images are not shown: {reason}.", ha="center", va="center")


def sample_images(
    images: NDArray[np.uint8], malignant: NDArray[np.bool_], path: Path, seed: int
) -> None:
    """Show up to 16 random images of each class, malignant above."""
    rng = np.random.default_rng(seed)
    with open_figure(path, figsize=(9, 5.2)) as figure:
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


def near_duplicate_pairs(
    images: NDArray[np.uint8],
    split: NDArray[np.str_],
    label: NDArray[np.str_],
    duplicates: NearDuplicates,
    path: Path,
) -> None:
    """Show the strongest near-duplicate pairs across splits, with their splits and labels.

    Pairs whose labels contradict come first, then those that correlate most.
    """
    first, second = duplicates.pairs.T
    across = np.nonzero(split[first] != split[second])[0]
    conflict = conflicting(label, duplicates)[across]
    order = across[np.lexsort((-duplicates.correlation[across], ~conflict))][:N_PAIRS]
    title = f"Near-duplicates across splits, {len(order)} of {len(across)}: conflicts first"
    pair_sheet(images, split, label, duplicates, order, title, path)


def conflicts(
    images: NDArray[np.uint8],
    split: NDArray[np.str_],
    label: NDArray[np.str_],
    duplicates: NearDuplicates,
    path: Path,
) -> None:
    """Show the near-duplicate pairs under two labels, within a split too, the strongest first."""
    opposite = np.nonzero(conflicting(label, duplicates))[0]
    order = opposite[np.argsort(-duplicates.correlation[opposite], kind="stable")][:N_PAIRS]
    title = f"Near-duplicates with opposite labels, {len(order)} of {len(opposite)}"
    pair_sheet(images, split, label, duplicates, order, title, path)


def pair_sheet(
    images: NDArray[np.uint8],
    split: NDArray[np.str_],
    label: NDArray[np.str_],
    duplicates: NearDuplicates,
    order: NDArray[np.int64],
    title: str,
    path: Path,
    words: Sequence[str] = (),
) -> None:
    """Show pairs side by side, each image with its split, or whatever `split` says, and label.

    Args:
        order: the pairs to show.
        words: beside each pair's correlation.
    """
    n_rows = max(1, -(-len(order) // 4))
    with open_figure(path, figsize=(10, 0.4 + 2 * n_rows)) as figure:
        cells: Any = figure.subfigures(n_rows, 4)
        figure.suptitle(title)
        for cell, pair in zip(cells.flat, order, strict=False):
            beside = f", {words[pair]}" if words else ""
            cell.suptitle(f"r = {duplicates.correlation[pair]:.3f}{beside}", fontsize=9)
            for axes, i in zip(cell.subplots(1, 2), duplicates.pairs[pair], strict=True):
                colour = LABEL_COLOURS.get(str(label[i]), "black")
                _show(axes, images[i], f"{split[i]}\n{label[i]}", colour)


def correlations(
    best: NDArray[np.float64], bands: Sequence[Sequence[Any]], cut: float, path: Path
) -> None:
    """Draw how like its best match each image is, and how often alike images disagree in label.

    Args:
        best: (N,), see `best_match`.
        bands: rows of `band_rows`.
        cut: the correlation from which images count as near-duplicates.
    """
    *rows, anything = bands
    with open_figure(path, figsize=(10, 3.4)) as figure:
        left, right = figure.subplots(1, 2)
        edges = np.linspace(0.8, 1, 41)
        for mask, colour in ((best < cut, BASELINE_COLOUR), (best >= cut, FINAL_COLOUR)):
            left.hist(best[mask], bins=edges, color=colour)
        left.axvline(cut, color="black", lw=0.8)
        left.set_yscale("log")
        left.set_xlabel("correlation with the most similar other image")
        left.set_ylabel("images (log scale)")
        right.bar(range(len(rows)), [row[3] for row in rows], color=MALIGNANT_COLOUR)
        for x, (_, n_pairs, n_opposite, share) in enumerate(rows):
            right.annotate(f"{n_opposite}\nof {n_pairs}", (x, share), (0, 3), fontsize=7,
                           textcoords="offset points", ha="center")  # fmt: skip
        right.axhline(anything[3], color="black", lw=0.8, ls="--", label="any two images")
        right.set_xticks(range(len(rows)), [row[0] for row in rows], rotation=45, fontsize=8)
        right.set_xlabel("correlation of a pair")
        right.set_ylabel("share with opposite labels")
        right.margins(y=0.25)
        right.legend(frameon=False, loc="upper right")
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)


def group_sizes(group: NDArray[np.int64], split: NDArray[np.str_], path: Path) -> None:
    """Draw the sizes of near-duplicate groups, within one split and across splits."""
    _, member = np.unique(group, return_inverse=True)
    size = np.bincount(member)
    n_splits = np.array([len(np.unique(split[member == g])) for g in range(len(size))])
    ticks = np.arange(2, max(size.max(), 2) + 1)
    left = np.zeros(len(ticks))
    with open_figure(path, figsize=(7, 1 + 0.35 * len(ticks))) as figure:
        axes = figure.subplots()
        for words, colour, mask in (
            ("in one split", BENIGN_COLOUR, n_splits == 1),
            ("in two or three splits", MALIGNANT_COLOUR, n_splits > 1),
        ):
            counts = np.array([(mask & (size == tick)).sum() for tick in ticks])
            bars = axes.barh(ticks, counts, left=left, color=colour, label=words)
            texts = [str(count) if count else "" for count in counts]
            axes.bar_label(bars, texts, label_type="center", color="white", fontsize=8)
            left += counts
        axes.set_yticks(ticks)
        axes.invert_yaxis()
        axes.set_title(
            f"{(size == 1).sum()} of {len(group)} images have no near-duplicate", fontsize=10
        )
        axes.set_xlabel("groups of near-duplicates")
        axes.set_ylabel("images in the group")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")


def _show(axes: "Axes", image: NDArray[np.uint8], title: str, colour: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=8, color=colour)
    axes.axis("off")


def results(scores: Mapping[str, Any], path: Path) -> None:
    """Draw AUC and accuracy of both models with their intervals, on test and leak-free test."""
    rows = [
        (f"{model}, {words}", scores[model][subset], colour)
        for model, colour in (("baseline", BASELINE_COLOUR), ("final", FINAL_COLOUR))
        for subset, words in (("test", "all test images"), ("leak_free", "leak-free only"))
        if subset in scores[model]
    ]
    with open_figure(path, figsize=(8, 2.8)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name, title in zip(panels, ("auc", "accuracy"), ("AUC", "accuracy"), strict=True):
            draw_intervals(axes, rows, name)
            axes.set_title(title)


def leakage(effects: Mapping[str, Any], path: Path) -> None:
    """Draw what near-duplicates do to scores: leaked minus leak-free images, and contrasts."""
    gaps = effects.get("leaked_minus_leak_free", {})
    rows = [
        (f"{words}: leaked − leak-free images", gaps[model], colour)
        for model, words, colour in (
            ("baseline", "baseline", BASELINE_COLOUR),
            ("final", "final", FINAL_COLOUR),
            ("retrained", "retrained without them", FINAL_COLOUR),
            ("nearest_neighbour", "nearest neighbour", MALIGNANT_COLOUR),
        )
        if model in gaps
    ]
    rows += [
        (
            f"{words} − retrained: {images} images",
            effects[f"{model}_minus_retrained"][subset],
            colour,
        )
        for model, words, colour in (
            ("final", "final", FINAL_COLOUR),
            ("size_matched_control", "size-matched control", BENIGN_COLOUR),
        )
        for subset, images in (("leaked", "leaked"), ("leak_free", "leak-free"), ("test", "all"))
        if subset in effects[f"{model}_minus_retrained"]
    ]
    with open_figure(path, figsize=(10, 4.6)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name in zip(panels, ("auc", "accuracy"), strict=True):
            draw_intervals(axes, rows, name)
            axes.axvline(0, color="black", lw=0.8)
            axes.set_title(f"difference in {'AUC' if name == 'auc' else name}")


def augmentation(effects: Mapping[str, Any], path: Path) -> None:
    """Draw the gain in AUC by augmentation, on folds of dev and on subsets of test."""
    words = {"folds": "dev, grouped folds", "test": "test, all", "leak_free": "test, leak-free",
             "leaked": "test, leaked"}  # fmt: skip
    rows = [(words[name], row, FINAL_COLOUR) for name, row in effects.items()]
    with open_figure(path, figsize=(7, 2.6)) as figure:
        axes = figure.subplots()
        draw_intervals(axes, rows, "auc")
        axes.axvline(0, color="black", lw=0.8)
        axes.set_xlabel("AUC with augmentation − without, one network")


def draw_intervals(axes: "Axes", rows: Sequence[tuple[str, Any, str]], name: str) -> None:
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
