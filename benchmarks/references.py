"""What others do, on the same grouped folds: classical features, ResNet-50, the official recipe.

    python -m benchmarks.references [--networks NAME …] [--epochs 20] [--repeats 1]

A training of a network that is finished is kept in the user's cache folder. Run after `dvc repro`.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pywt
from numpy.typing import NDArray
from skimage.feature import hog, local_binary_pattern
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.compare import print_table
from benchmarks.folds import load_dev, on_folds, side_by_side
from benchmarks.official_recipe import NETWORKS, official_on_folds
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.cross_validation import CrossValidation
from breast_ultrasound.search.fold_runs import Execute

EVERYTHING = "HOG + LBP + wavelets"


def main() -> None:
    """Print a table in Markdown, the pipeline's network first, then the quick rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of the recipe's 100, for networks")
    parser.add_argument("--repeats", type=int, default=1, help="of the folds, for networks")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    arguments = parser.parse_args()
    dev = load_dev()

    def results() -> Iterator[tuple[str, CrossValidation]]:
        pipeline = Executor(dev.images, dev.malignant, find_resources("auto", 0, None))
        yield "as chosen", on_folds(dev, 3, pipeline)
        features = features_of(dev.images)
        for name, values in features.items():
            for learner in ("SVM", "gradient boosting"):
                answer = partial(classical, learner, values, dev.malignant)
                yield f"{name}, {learner}", on_folds(dev, 3, side_by_side(answer))
        blend = blended(pipeline, dev, features[EVERYTHING])
        yield f"{EVERYTHING}, SVM, added to the network's logit", on_folds(dev, 3, blend)
        for name in arguments.networks:
            words = f"official recipe, {name}, {arguments.epochs} epochs"
            yield words, official_on_folds(dev, name, arguments.epochs, arguments.repeats)

    print_table("learner", results(), dev)


def blended(networks: Execute, dev: ImageSet, features: NDArray[np.float64]) -> Execute:
    """Return what adds an SVM's decision values to the logits of networks."""

    def execute(runs: list[Run], label: str) -> list[RunResult]:
        svm = side_by_side(partial(classical, "SVM", features, dev.malignant))(runs, label)
        pairs = zip(networks(runs, label), svm, strict=True)
        return [replace(a, logits=a.logits + b.logits) for a, b in pairs]

    return execute


def features_of(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Return the features of images (N, 28, 28) by name, each (N, F)."""
    features = {
        "HOG": np.stack([hog(i, 9, (7, 7), (2, 2)) for i in images]),
        "LBP": np.stack([_patterns(i) for i in images]),
        "wavelets": np.stack([_wavelets(i.astype(np.float64)) for i in images]),
    }
    return {**features, EVERYTHING: np.concatenate(list(features.values()), axis=1)}


def _patterns(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return histograms of uniform local binary patterns in each quarter of the image."""
    patterns = local_binary_pattern(image, 8, 1, "uniform")
    quarters = [half for rows in np.split(patterns, 2) for half in np.split(rows, 2, axis=1)]
    return np.concatenate([np.bincount(q.astype(int).ravel(), minlength=10) for q in quarters])


def _wavelets(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean and sd of the absolute Haar coefficients of two levels, and the coarse image."""
    coarse, *levels = pywt.wavedec2(image, "haar", level=2)
    details = [np.abs(band) for level in levels for band in level]
    moments = [[band.mean(), band.std()] for band in details]
    return np.concatenate([*moments, coarse.ravel()])


def classical(
    learner: str, features: NDArray[np.float64], malignant: NDArray[np.bool_], run: Run
) -> NDArray[np.float64]:
    """Return the probability of malignant, or a score that rises with it, of a run's images."""
    if learner == "SVM":
        model = make_pipeline(StandardScaler(), SVC()).fit(
            features[run.train], malignant[run.train]
        )
        answer: NDArray[np.float64] = model.decision_function(features[run.score])
        return answer
    boosted = HistGradientBoostingClassifier(random_state=run.seed)
    boosted.fit(features[run.train], malignant[run.train])
    probability: NDArray[np.float64] = boosted.predict_proba(features[run.score])[:, 1]
    return probability


if __name__ == "__main__":
    main()
