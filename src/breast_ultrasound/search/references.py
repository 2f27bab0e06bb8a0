"""What others do, on the pipeline's grouped folds: classical features, the official recipe."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.folds import Fold
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import read_arrays, write_arrays
from breast_ultrasound.model.arithmetic import apply_limits, describe, limits
from breast_ultrasound.model.official_recipe import train_recipe
from breast_ultrasound.runs.cache import find_cache
from breast_ultrasound.runs.run import digest_of, versions, without_words
from breast_ultrasound.search.comparison import comparison_row
from breast_ultrasound.search.cross_validation import CrossValidation, estimate_folds, scored

EVERYTHING = "HOG + LBP + wavelets"
Learner = Callable[[Fold], NDArray[np.floating[Any]]]


def classical_learners(
    dev: ImageSet, network: NDArray[np.float32], n_splits: int, seed: int, n_workers: int
) -> dict[str, dict[str, float]]:
    """Return a comparison on grouped folds, one row per learner, the pipeline's network first.

    Args:
        network: (R, N) out-of-fold logits of the pipeline; the others have as many repeats.
    """
    folds = estimate_folds(dev, n_splits, len(network), seed)
    first = scored(network, folds, dev.malignant)
    results, features = {"network": first}, features_of(dev.images)
    for name, values in features.items():
        for learner in ("SVM", "boosting"):
            fitted = partial(classical, learner, values, dev.malignant)
            results[f"{name}, {learner}"] = _on_folds(dev, folds, fitted, n_workers)
    svm = results[f"{EVERYTHING}, SVM"].logits
    results[f"network + {EVERYTHING}, SVM"] = scored(network + svm, folds, dev.malignant)
    return {name: comparison_row(result, first, dev) for name, result in results.items()}


def official_on_folds(
    dev: ImageSet, n_splits: int, seed: int, n_workers: int, cache: Path | None
) -> CrossValidation:
    """Cross-validate the official recipe on one repeat of the folds.

    A finished training is kept in the cache until its code or packages change.
    """
    kept = find_cache(cache).folder.with_name("references")
    folds = estimate_folds(dev, n_splits, 1, seed)
    return _on_folds(dev, folds, partial(_official, dev, kept), n_workers)


def _on_folds(
    dev: ImageSet, folds: list[Fold], learner: Learner, n_workers: int
) -> CrossValidation:
    """Let a learner score every fold, in processes of their own."""
    parallel = joblib.Parallel(
        n_jobs=n_workers or joblib.cpu_count(only_physical_cores=True),
        initializer=apply_limits,
        initargs=(limits("fp32"),),
    )
    n_splits = max(fold.number for fold in folds) + 1
    logits = np.full((len(folds) // n_splits, len(dev)), np.nan, dtype=np.float32)
    results = parallel(joblib.delayed(learner)(fold) for fold in folds)
    for i, (fold, result) in enumerate(zip(folds, results, strict=True)):
        logits[i // n_splits, fold.score] = result
    return scored(logits, folds, dev.malignant)


def _official(dev: ImageSet, kept: Path, fold: Fold) -> NDArray[np.float32]:
    from breast_ultrasound.model import official_recipe as module

    told = {"images": dev.images, "malignant": dev.malignant, "train": fold.train}
    code = without_words(Path(module.__file__).read_text(encoding="utf-8"))
    origin = f"{digest_of(told)}|{fold.seed}|{code}|{versions()}|{describe('fp32', 'cpu')}"
    file = kept / f"official-{hashlib.sha256(origin.encode()).hexdigest()[:24]}.npz"
    if not file.exists():
        learned = dev.images[fold.train], dev.malignant[fold.train]
        write_arrays(file, {"scores": train_recipe(*learned, dev.images[fold.score], fold.seed)})
    return np.asarray(read_arrays(file, ["scores"])["scores"], dtype=np.float32)


def features_of(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Return the features of images (N, 28, 28) by name, each (N, F)."""
    from skimage.feature import hog

    features = {
        "HOG": np.stack([hog(i, 9, (7, 7), (2, 2)) for i in images]),
        "LBP": np.stack([_patterns(i) for i in images]),
        "wavelets": np.stack([_wavelets(i.astype(np.float64)) for i in images]),
    }
    return {**features, EVERYTHING: np.concatenate(list(features.values()), axis=1)}


def _patterns(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return histograms of uniform local binary patterns in each quarter of the image."""
    from skimage.feature import local_binary_pattern

    patterns = local_binary_pattern(image, 8, 1, "uniform")
    quarters = [half for rows in np.split(patterns, 2) for half in np.split(rows, 2, axis=1)]
    return np.concatenate([np.bincount(q.astype(int).ravel(), minlength=10) for q in quarters])


def _wavelets(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean and sd of the absolute Haar coefficients of two levels, and the coarse image."""
    import pywt

    coarse, *levels = pywt.wavedec2(image, "haar", level=2)
    details = [np.abs(band) for level in levels for band in level]
    moments = [[band.mean(), band.std()] for band in details]
    return np.concatenate([*moments, coarse.ravel()])


def classical(
    learner: str, features: NDArray[np.float64], malignant: NDArray[np.bool_], fold: Fold
) -> NDArray[np.float64]:
    """Return the probability of malignant, or a score that rises with it, of a fold's images."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if learner == "SVM":
        model = make_pipeline(StandardScaler(), SVC()).fit(
            features[fold.train], malignant[fold.train]
        )
        decision: NDArray[np.float64] = model.decision_function(features[fold.score])
        return decision
    boosted = HistGradientBoostingClassifier(random_state=fold.seed)
    boosted.fit(features[fold.train], malignant[fold.train])
    probability: NDArray[np.float64] = boosted.predict_proba(features[fold.score])[:, 1]
    return probability
