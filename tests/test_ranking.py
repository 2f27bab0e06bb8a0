import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from breast_ultrasound.ranking import auc, average_precision


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 80),
    digits=st.integers(0, 9),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_areas_are_scikit_learns(seed: int, n: int, digits: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    positive[:2] = [True, False]
    score = (rng.normal(size=n) + positive).round(digits).astype(dtype)  # few digits: many ties
    assert auc(positive, score) == pytest.approx(sk.roc_auc_score(positive, score), abs=1e-12)
    expected = sk.average_precision_score(positive, score)
    assert average_precision(positive, score) == pytest.approx(expected, abs=1e-12)


def test_areas_by_hand() -> None:
    positive = np.array([True, False, True, False])
    score = np.array([4.0, 3.0, 2.0, 1.0])
    assert auc(positive, score) == 3 / 4
    assert average_precision(positive, score) == pytest.approx((1 + 2 / 3) / 2)
    assert auc(positive, -score) == 1 / 4
    assert auc(positive, score * 0) == average_precision(positive, score * 0) == 1 / 2
    assert auc(positive, positive * 1.0) == average_precision(positive, positive * 1.0) == 1
