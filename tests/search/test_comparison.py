import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.search.comparison import comparison_row, comparison_rows, standard_error
from breast_ultrasound.search.cross_validation import CrossValidation, estimate_folds, scored


@pytest.fixture
def results(dev: ImageSet, rng: np.random.Generator) -> list[CrossValidation]:
    """Of two learners, over two repeats and over the first."""
    folds = estimate_folds(dev, 3, 2, seed=0)
    logits = (rng.normal(size=(2, len(dev))) + dev.malignant).astype(np.float32)
    return [
        scored(logits, folds, dev.malignant),
        scored(logits[:1] + rng.normal(size=(1, len(dev))).astype("f4"), folds[:3], dev.malignant),
    ]


@pytest.mark.parametrize(
    ("values", "n_splits", "expected"),
    [
        # Variance 1; 1/3 + 1/2.
        ([1.0, 2.0, 3.0], 3, (5 / 6) ** 0.5),
        # Variance 4/3; 1/4 + 1: two repeats of two folds.
        ([0.0, 2.0, 0.0, 2.0], 2, (4 / 3 * 5 / 4) ** 0.5),
        # Variance 0.001; 1/5 + 1/4.
        ([0.86, 0.88, 0.90, 0.92, 0.94], 5, 0.00045**0.5),
        ([0.9, 0.9, 0.9], 3, 0.0),
    ],
)
def test_the_standard_error_is_nadeaus_and_bengios(
    values: list[float], n_splits: int, expected: float
) -> None:
    assert standard_error(np.array(values), n_splits) == pytest.approx(expected, abs=1e-12)


def test_more_repeats_do_not_make_the_standard_error_small() -> None:
    """Folds share images: at five splits no less than half the standard deviation is left."""
    fold_auc = np.random.default_rng(0).normal(size=5000)
    assert standard_error(fold_auc, 5) / fold_auc.std() == pytest.approx(0.5, abs=0.001)


def test_a_learner_is_compared_on_the_folds_that_both_have(
    results: list[CrossValidation], dev: ImageSet
) -> None:
    first, other = results
    row = comparison_row(other, first, dev)
    aucs, firsts = (np.array([r["auc"] for r in result.fold_scores]) for result in (other, first))
    assert row["fold_auc"] == pytest.approx(aucs.mean())
    assert row["fold_auc_se"] == standard_error(aucs, 3)
    assert row["minus_first"] == pytest.approx((aucs - firsts[:3]).mean())
    assert row["minus_first_se"] == pytest.approx(standard_error(aucs - firsts[:3], 3))
    assert row["single_auc"] == pytest.approx(roc_auc_score(dev.malignant, other.logits[0]))
    own = comparison_row(first, first, dev)
    assert own["minus_first"] == own["minus_first_se"] == 0
    mean = first.logits.mean(axis=0)
    assert own["ensemble_auc"] == pytest.approx(roc_auc_score(dev.malignant, mean))
    called = platt_scaling(mean, dev.malignant).probability(mean) >= 0.5
    assert own["ensemble_accuracy"] == pytest.approx(accuracy_score(dev.malignant, called))
    assert own["accuracy"] == pytest.approx(np.mean([r["accuracy"] for r in first.fold_scores]))


def test_a_table_has_a_row_per_learner(results: list[CrossValidation], dev: ImageSet) -> None:
    rows = {name: comparison_row(r, results[0], dev) for name, r in zip("ab", results, strict=True)}
    columns, table = comparison_rows(rows)
    assert columns == ["learner", *rows["a"]]
    assert table == [["a", *rows["a"].values()], ["b", *rows["b"].values()]]
