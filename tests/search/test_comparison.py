import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from breast_ultrasound.data.dataset import ImageSet
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


def test_the_standard_error_is_nadeaus_and_bengios() -> None:
    values = np.array([0.8, 0.9, 0.85, 0.87, 0.83])
    # Five folds of five: each scored image stands for four learned ones.
    assert standard_error(values, 5) == pytest.approx(np.sqrt(values.var(ddof=1) * (1 / 5 + 1 / 4)))
    many = np.tile(values, 1000)
    assert standard_error(many, 5) == pytest.approx(values.std() / 2, rel=1e-3)


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
