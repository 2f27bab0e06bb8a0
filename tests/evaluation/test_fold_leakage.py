import numpy as np
import pytest

from breast_ultrasound.evaluation.fold_leakage import FoldScores, effect_by_image
from breast_ultrasound.params import EvaluateParams

INTERVAL = EvaluateParams(n_bootstrap=60, confidence=0.95)


def _effect(helped: float, by_chance: float) -> dict[str, dict[str, dict[str, float]]]:
    """Return the effect where ungrouped folds help copies, and all images by chance."""
    rng = np.random.default_rng(0)
    n_images = 400
    malignant = rng.random(n_images) < 0.4
    group = np.concatenate([np.repeat(np.arange(50), 2), np.arange(100, 400)])
    sign = np.where(malignant, 1.0, -1.0)
    grouped = rng.normal(size=(3, n_images)) + 0.8 * sign
    ungrouped = grouped + rng.normal(0, 0.3, grouped.shape) + by_chance * sign
    ungrouped[:, :100] += helped * sign[:100]
    kind = np.where(malignant, "malignant", np.where(np.arange(n_images) % 3, "benign", "normal"))
    exposed = np.zeros(grouped.shape, dtype=bool)
    exposed[:, :100] = True
    arms = (grouped.astype(np.float32), ungrouped.astype(np.float32))
    return effect_by_image(FoldScores(*arms, exposed, malignant, group, kind), INTERVAL, 0)


@pytest.mark.parametrize("by_chance", [0.0, 0.3])
def test_what_helps_all_images_alike_is_no_leak(by_chance: float) -> None:
    found = _effect(0.0, by_chance)
    for measure in ("auc", "true_class_probability"):
        row = found[measure]["difference"]
        assert row["gain_low"] < 0 < row["gain_high"]
    assert (found["auc"]["without"]["gain_low"] > 0) == (by_chance > 0)


def test_what_helps_copies_is() -> None:
    found = _effect(1.0, 0.1)
    for measure in ("auc", "true_class_probability"):
        rows = found[measure]
        assert rows["difference"]["gain_low"] > 0
        expected = rows["with_near_duplicate"]["gain"] - rows["without"]["gain"]
        assert rows["difference"]["gain"] == pytest.approx(expected)
    assert found["kinds"].keys() == {"benign", "malignant", "normal"}
    assert all(row["gain"] > 0 for row in found["kinds"].values())
    assert found["images"]["with_near_duplicate"] == 100
