import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breast_ultrasound.data.folds import derive_seed, make_folds
from breast_ultrasound.files import InputError


def _images(seed: int, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, n * 3 // 4, n)
    return rng.random(n) < 0.3, np.unique(group, return_inverse=True)[1]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), n_splits=st.integers(2, 6), grouped=st.booleans())
def test_folds_are_disjoint_exhaustive_grouped_and_stratified(
    seed: int, n_splits: int, grouped: bool
) -> None:
    malignant, group = _images(seed)
    folds = make_folds(malignant, group if grouped else None, n_splits, seed)
    assert len(folds) == n_splits
    scored = np.concatenate([fold.score for fold in folds])
    assert sorted(scored) == list(range(len(malignant)))
    for fold in folds:
        assert sorted([*fold.train, *fold.score]) == list(range(len(malignant)))
        assert abs(malignant[fold.score].mean() - malignant.mean()) < 0.15
        if grouped:
            assert not set(group[fold.train]) & set(group[fold.score])


def test_folds_and_seeds_differ_between_repeats_and_repeat_themselves() -> None:
    malignant, group = _images(0)
    first, again = (make_folds(malignant, group, 5, seed=0) for _ in range(2))
    other = make_folds(malignant, group, 5, seed=0, repeat=1)
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.score, b.score)
        assert a.seed == b.seed
    assert any(not np.array_equal(a.score, b.score) for a, b in zip(first, other, strict=True))
    assert len({fold.seed for fold in first + other}) == 10


def test_seeds_of_different_places_differ() -> None:
    places = [(), (0,), (1,), (0, 0), (0, 1), (1, 0)]
    assert len({derive_seed(seed, *place) for seed in (0, 1) for place in places}) == 12


@pytest.mark.parametrize(
    ("malignant", "group", "expected"),
    [
        ([True, False] * 5, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1], "at most 2 groups, got 3"),
        ([True] * 2 + [False] * 20, list(range(22)), "at most 2, the images of the rarer class"),
        ([True] * 6 + [False] * 20, [0] * 6 + list(range(1, 21)), "images of one class only"),
    ],
)
def test_folds_that_cannot_be_are_refused(
    malignant: list[bool], group: list[int], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        make_folds(np.array(malignant), np.array(group), 3, seed=0)
