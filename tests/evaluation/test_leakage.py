from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation import figures
from breast_ultrasound.evaluation.leakage import (
    CONTRASTS,
    cut_rows,
    effects_on_test,
    nearest_neighbour,
)
from breast_ultrasound.evaluation.metrics import headline_scores
from breast_ultrasound.model.classifier import Predictions
from breast_ultrasound.params import EvaluateParams

PARAMS = EvaluateParams(n_bootstrap=50, confidence=0.9)
MODELS = ("baseline", "final", "retrained", "size_matched_control", "nearest_neighbour")


@pytest.fixture
def predictions(
    dev_test: tuple[ImageSet, ImageSet], rng: np.random.Generator
) -> dict[str, Predictions]:
    test = dev_test[1]
    rows = 0.5 * rng.random((5, len(test))) + 0.4 * test.malignant
    return {name: Predictions(row, row[None]) for name, row in zip(MODELS, rows, strict=True)}


def test_effects_are_of_models_that_learned_from_other_images(
    predictions: dict[str, Predictions], dev_test: tuple[ImageSet, ImageSet], tmp_path: Path
) -> None:
    images = dev_test[1]
    test = replace(images, leaked=np.arange(len(images)) % 3 == 0)  # of both classes
    tree = effects_on_test(predictions, test, PARAMS, seed=0)
    for name, model in predictions.items():
        expected = headline_scores(test.malignant, model.probability)
        assert {key: tree[name]["test"][key] for key in expected} == expected
        assert name in tree["leaked_minus_leak_free"]
    assert CONTRASTS == (("final", "retrained"), ("size_matched_control", "retrained"))
    for one, other in CONTRASTS:
        for subset in ("test", "leak_free", "leaked"):
            found = tree[f"{one}_minus_{other}"][subset]["auc"]
            assert found == tree[one][subset]["auc"] - tree[other][subset]["auc"]
    for name in ("a.png", "b.png"):
        figures.leakage(tree, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_memory_copies_the_label_of_the_most_similar_image(
    dev_test: tuple[ImageSet, ImageSet],
) -> None:
    dev, test = dev_test
    predictions = nearest_neighbour(dev.subset(np.arange(len(dev)) % 2 == 0), dev)
    assert np.array_equal(predictions.probability == 1, dev.malignant[::2])  # each finds itself
    assert np.array_equal(predictions.member_probability, predictions.probability[None])
    mirrored = replace(test, images=test.images[:, :, ::-1])
    assert np.array_equal(
        nearest_neighbour(test, dev).probability, nearest_neighbour(mirrored, dev).probability
    )


def test_fewer_images_are_leak_free_as_the_cut_falls(
    predictions: dict[str, Predictions], dev_test: tuple[ImageSet, ImageSet]
) -> None:
    dev, test = dev_test
    columns, rows = cut_rows(predictions, test, dev)
    assert columns[:3] == ["near_duplicate_correlation", "leak_free_images", "leak_free_malignant"]
    assert all(len(row) == len(columns) for row in rows)
    counts = [row[1] for row in rows]
    assert counts == sorted(counts)
    at = {row[0]: row for row in rows}
    clean = ~test.leaked
    assert at[0.95][1:3] == [clean.sum(), (clean & test.malignant).sum()]
    for name, model in predictions.items():
        expected = headline_scores(test.malignant[clean], model.probability[clean])
        for score, value in expected.items():
            assert at[0.95][columns.index(f"{name}_{score}")] == value
