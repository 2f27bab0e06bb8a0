from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model import official_recipe
from breast_ultrasound.search import references
from breast_ultrasound.search.cross_validation import estimate_folds
from breast_ultrasound.search.references import (
    EVERYTHING,
    classical,
    classical_learners,
    features_of,
    official_on_folds,
)


def test_features_are_of_each_image_alone(dev: ImageSet) -> None:
    features = features_of(dev.images[:6])
    assert {name: values.shape for name, values in features.items()} == {
        "HOG": (6, 9 * 4 * 9),  # nine directions in 2 × 2 cells of each of 3 × 3 blocks
        "LBP": (6, 4 * 10),
        "wavelets": (6, 2 * 6 + 49),
        EVERYTHING: (6, 324 + 40 + 61),
    }
    alone = features_of(dev.images[2:3])
    for name, values in features.items():
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values[2:3], alone[name])
    assert (features["LBP"].reshape(6, 4, 10).sum(axis=2) == 14 * 14).all()
    # Two levels of Haar: the mean of each 4 × 4 block, times four.
    blocks = dev.images[:6].reshape(6, 7, 4, 7, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(features["wavelets"][:, 12:], 4 * blocks.reshape(6, 49))


@pytest.mark.parametrize("learner", ["SVM", "boosting"])
def test_a_learner_finds_what_is_there_and_sees_no_scored_label(
    dev: ImageSet, learner: str, rng: np.random.Generator
) -> None:
    fold = make_folds(dev.malignant, dev.group, 3, seed=0)[0]
    features = rng.normal(size=(len(dev), 5)) + 4 * dev.malignant[:, None]
    found = classical(learner, features, dev.malignant, fold)
    assert roc_auc_score(dev.malignant[fold.score], found) > 0.95
    turned = dev.malignant.copy()
    turned[fold.score] = ~turned[fold.score]
    assert np.array_equal(classical(learner, features, turned, fold), found)


def test_learners_are_beside_the_network_on_the_estimates_folds(
    dev: ImageSet, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = (rng.normal(size=(2, len(dev))) + 2 * dev.malignant).astype(np.float32)
    seen: list[Any] = []

    def first_feature(
        learner: str, features: np.ndarray, malignant: np.ndarray, fold: Any
    ) -> np.ndarray:
        seen.append(fold)
        return features[fold.score, 0]

    monkeypatch.setattr(references, "classical", first_feature)
    rows = classical_learners(dev, network, n_splits=3, seed=0, n_workers=1)
    kinds = ("HOG", "LBP", "wavelets", EVERYTHING)
    assert list(rows) == [
        "network",
        *(f"{kind}, {learner}" for kind in kinds for learner in ("SVM", "boosting")),
        f"network + {EVERYTHING}, SVM",
    ]
    assert rows["network"]["minus_first"] == 0
    folds = estimate_folds(dev, 3, 2, 0)
    assert len(seen) == 8 * len(folds)
    for one, fold in zip(seen, folds, strict=False):
        assert np.array_equal(one.score, fold.score)
    hog = features_of(dev.images)["HOG"][:, 0]
    expected = np.mean([roc_auc_score(dev.malignant[f.score], hog[f.score]) for f in folds])
    assert rows["HOG, SVM"]["fold_auc"] == pytest.approx(expected)


def test_finished_trainings_of_the_recipe_are_kept(
    dev: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def recipe(
        images: np.ndarray, malignant: np.ndarray, scored: np.ndarray, seed: int
    ) -> np.ndarray:
        calls.append(len(images))
        return scored.mean(axis=(1, 2), dtype=np.float32)

    monkeypatch.setattr(references, "train_recipe", recipe)
    results = [official_on_folds(dev, 3, 0, 1, tmp_path) for _ in range(2)]
    assert len(calls) == 3
    assert np.array_equal(results[0].logits, results[1].logits)
    np.testing.assert_allclose(results[0].logits[0], dev.images.mean(axis=(1, 2)), rtol=1e-5)
    official_on_folds(dev, 3, 1, 1, tmp_path)  # other folds
    assert len(calls) == 6
    changed = tmp_path / "recipe.py"
    changed.write_text(Path(official_recipe.__file__).read_text().replace("lr=1e-3", "lr=1e-4"))
    monkeypatch.setattr(official_recipe, "__file__", str(changed))
    official_on_folds(dev, 3, 0, 1, tmp_path)
    assert len(calls) == 9
