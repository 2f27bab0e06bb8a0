import numpy as np
import pytest

from breast_ultrasound.data.altered_copies import (
    changes,
    crop,
    hashed,
    methods,
    or_mirrored,
    rotate,
    rows_of,
    shift,
    straight,
    summarise,
    to_greys,
)
from breast_ultrasound.data.image_set import ImageSet


@pytest.fixture(scope="module")
def images(dev: ImageSet) -> np.ndarray:
    """Images of which none is a near-duplicate of another."""
    _, first = np.unique(dev.group, return_index=True)
    return dev.images[np.sort(first)][:30]


def test_a_change_by_nothing_is_none(images: np.ndarray) -> None:
    for same in (shift(images, 0, 0), rotate(images, 0), crop(images, 0)):
        assert np.array_equal(same, images)
    assert np.array_equal(to_greys(np.array([-5.0, 0.4, 254.6, 300.0])), [0, 0, 255, 255])


def test_a_shift_moves_by_whole_pixels_and_repeats_the_border(images: np.ndarray) -> None:
    moved = shift(images, 1, 2)
    assert np.array_equal(moved[:, 1:, 2:], images[:, :-1, :-2])
    assert np.array_equal(moved[:, 1:, 0], images[:, :-1, 0])


def test_every_copy_is_greys_of_the_same_size_and_another_image(images: np.ndarray) -> None:
    copies = changes(images)
    assert len(copies["lighting"]) == 5
    for kind in copies.values():
        for copy in kind:
            assert (copy.shape, copy.dtype) == (images.shape, np.uint8)
            assert not np.array_equal(copy, images)


def test_methods_know_themselves_and_what_they_are_for(images: np.ndarray) -> None:
    for similarity, thresholds in methods().values():
        assert (np.diag(similarity(images, images)) >= max(thresholds)).all()
    mirrored = images[:, :, ::-1]
    assert np.diag(straight(images, mirrored)).min() < 0.9
    np.testing.assert_allclose(np.diag(or_mirrored(images, mirrored)), 1)


def test_hashes_are_compared_by_the_bits_that_differ(images: np.ndarray) -> None:
    class Hash:
        def __init__(self, image: object) -> None:
            self.hash = np.asarray(image)[:8, :8] > 100

    found = hashed(Hash)(images[:3], images[3:7])
    own, others = images[:3, :8, :8] > 100, images[3:7]
    for i in range(3):
        for j in range(4):
            bits = [(own[i] != (o[:8, :8] > 100)).sum() for o in (others[j], others[j, :, ::-1])]
            assert found[i, j] == -min(bits)


def test_the_table_counts_pairs_and_copies_found(images: np.ndarray) -> None:
    malignant = np.arange(len(images)) % 3 == 0
    pair = np.concatenate([images, images[:1]])
    columns, rows = rows_of(pair, np.append(malignant, ~malignant[0]))
    assert columns[:4] == ["compared_by", "from", "pairs", "false_at_most"]
    assert all(len(row) == len(columns) for row in rows)
    by = {(row[0], row[1]): dict(zip(columns, row, strict=True)) for row in rows}
    own = by["… or shifted by 1", "0.95"]
    assert own["pairs"] == 1
    assert own["false_at_most"] == 1  # its labels differ, so it may be none
    assert own["mirror"] == own["shift 1"] == 1
    assert by["correlation", "0.95"]["mirror"] < 1
    for method in {name for name, _ in by}:
        found = [row["pairs"] for (name, _), row in by.items() if name == method]
        assert found == sorted(found, reverse=True)  # the stricter, the fewer
    summary = summarise(columns, rows)
    assert summary["pairs"] == 1
    assert summary["mirror"] == 1
    assert summary["shift_1_1"] == own["shift 1, 1"]
    assert summary.keys() >= {"lighting", "noise", "shift_half", "crop_2", "turn_5"}
