from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breast_ultrasound.data.image_set import SPLITS
from breast_ultrasound.data.near_duplicates import NearDuplicates
from breast_ultrasound.evaluation import figures
from breast_ultrasound.evaluation.figures import BENIGN_COLOUR, MALIGNANT_COLOUR
from tests.sheets import amount, pixels, shows


@dataclass(frozen=True)
class Pairs:
    """Image 2i of train beside 2i + 1 of test, of which no two are alike in pixels."""

    images: np.ndarray
    split: np.ndarray
    label: np.ndarray
    duplicates: NearDuplicates

    def draw(self, path: Path, which: Callable[..., None] = figures.near_duplicate_pairs) -> Path:
        which(self.images, self.split, self.label, self.duplicates, path)
        return path


def _pairs(n: int, **changes: Any) -> Pairs:
    """Pairs that correlate less and less, under one label."""
    made = Pairs(
        images=np.random.default_rng(0).integers(0, 255, (2 * n, 28, 28), dtype=np.uint8),
        split=np.tile(["train", "test"], n),
        label=np.full(2 * n, "benign", dtype="<U9"),
        duplicates=NearDuplicates.joined(
            np.arange(2 * n).reshape(n, 2), np.linspace(0.99, 0.96, n), np.zeros(n, bool), 2 * n
        ),
    )
    return replace(made, **changes)


def _conflict(pairs: Pairs, *which: int) -> Pairs:
    label = pairs.label.copy()
    label[[2 * pair for pair in which]] = "malignant"
    return replace(pairs, label=label)


def test_a_sheet_shows_both_images_of_each_pair_and_no_others(tmp_path: Path) -> None:
    pairs = _pairs(3)
    within = replace(pairs, split=np.array(["train", "test"] * 2 + ["test", "test"]))
    sheet = within.draw(tmp_path / "a.png")
    assert [shows(sheet, image) for image in within.images] == [True] * 4 + [False] * 2
    sheet = _conflict(within, 2).draw(tmp_path / "b.png", figures.conflicts)
    assert [shows(sheet, image) for image in within.images] == [False] * 4 + [True] * 2


def test_a_sheet_shows_conflicts_first_and_the_strongest_16(tmp_path: Path) -> None:
    sheet = _conflict(_pairs(20), 18, 19).draw(tmp_path / "a.png")
    shown = [shows(sheet, image) for image in _pairs(20).images]
    assert np.nonzero(shown)[0].tolist() == [*range(28), 36, 37, 38, 39]


def test_a_sheet_names_labels_in_their_colours(tmp_path: Path) -> None:
    sheet = _pairs(2).draw(tmp_path / "a.png")
    assert amount(sheet, BENIGN_COLOUR) > amount(sheet, MALIGNANT_COLOUR) == 0
    sheet = _conflict(_pairs(2), 0).draw(tmp_path / "b.png")
    assert amount(sheet, MALIGNANT_COLOUR) > 0


def test_a_sheet_grows_by_a_row_for_four_pairs(tmp_path: Path) -> None:
    sizes = [pixels(_pairs(n).draw(tmp_path / f"{n}.png")).shape for n in (1, 4, 5, 16, 17)]
    rows = [(height - 40) / 200 for height, _, _ in sizes]
    assert rows == [1, 1, 2, 4, 4]
    assert {width for _, width, _ in sizes} == {1000}


def test_equal_sheets_have_equal_bytes_and_others_have_not(tmp_path: Path) -> None:
    pairs = _pairs(2)
    one, same = (pairs.draw(tmp_path / f"{name}.png").read_bytes() for name in "ab")
    assert one == same
    others = (
        replace(pairs, images=pairs.images[::-1]),
        replace(pairs, split=pairs.split[::-1]),
        replace(pairs, duplicates=replace(pairs.duplicates, correlation=np.array([0.98, 0.97]))),
        _conflict(pairs, 1),
    )
    for other in others:
        assert other.draw(tmp_path / "c.png").read_bytes() != one


def test_samples_are_images_of_both_classes(tmp_path: Path) -> None:
    images = _pairs(20).images
    malignant = np.arange(40) < 10
    for seed in (0, 1):
        figures.sample_images(images, malignant, tmp_path / f"{seed}.png", seed)
    shown = np.array([shows(tmp_path / "0.png", image) for image in images])
    assert shown[malignant].all()
    assert shown[~malignant].sum() == 16
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()


@pytest.mark.parametrize("n_malignant", [30, 60, 90])
def test_bars_of_the_classes_are_as_long_as_their_counts(n_malignant: int, tmp_path: Path) -> None:
    malignant = np.arange(120) < n_malignant
    figures.class_balance(malignant, np.array(SPLITS)[np.arange(120) % 3], tmp_path / "a.png")
    ratio = amount(tmp_path / "a.png", MALIGNANT_COLOUR) / amount(tmp_path / "a.png", BENIGN_COLOUR)
    assert ratio == pytest.approx(n_malignant / (120 - n_malignant), rel=0.1)


def test_bars_of_the_groups_are_as_long_as_their_counts(tmp_path: Path) -> None:
    group = np.repeat(np.arange(12), 2)  # four groups within a split, eight across
    split = np.where((np.arange(24) < 8) | (np.arange(24) % 2 == 0), "train", "test")
    figures.group_sizes(group, split, tmp_path / "a.png")
    across, within = (amount(tmp_path / "a.png", c) for c in (MALIGNANT_COLOUR, BENIGN_COLOUR))
    assert across / within == pytest.approx(2, rel=0.1)
