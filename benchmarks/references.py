"""What others do, on the same grouped folds: the official recipe, ResNet-50, classical features.

    python -m benchmarks.references [--epochs 20] [--repeats 1]

A training that is finished is kept in the user's cache folder. Run after `dvc repro`.
"""

import argparse
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pywt
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from skimage.feature import hog, local_binary_pattern
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn
from torchvision.models import resnet18, resnet50

from benchmarks.official_recipe import as_tensors, score, train_one_epoch
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.folds import Fold, make_folds
from breast_ultrasound.evaluation.calibration import choose_decision
from breast_ultrasound.params import load_params
from tests.workspace import ROOT

memory = joblib.Memory(user_cache_path("breast-ultrasound") / "references", verbose=0)
NETWORKS: dict[str, Callable[..., nn.Module]] = {"ResNet-18": resnet18, "ResNet-50": resnet50}


def main() -> None:
    """Print a table in Markdown, the quick rows first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of the recipe's 100")
    parser.add_argument("--repeats", type=int, default=1, help="of the folds, for networks")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    arguments = parser.parse_args()
    params = load_params(ROOT / "params.yaml")
    dev = ImageSet.load(ROOT / "data/processed/dev.npz")
    folds = [
        fold
        for repeat in range(3)
        for fold in make_folds(dev.malignant, dev.group, params.folds.n_splits, params.seed, repeat)
    ]
    print("| learner | repeats | AUC of folds | pooled AUC | accuracy |")
    print("| --- | --- | --- | --- | --- |")
    for name, features in features_of(dev.images).items():
        for learner in ("SVM", "gradient boosting"):
            answers = [classical(learner, features, dev.malignant, fold) for fold in folds]
            print(row(f"{name}, {learner}", folds, answers, dev.malignant), flush=True)
    folds = [fold for fold in folds if fold.repeat < arguments.repeats]
    for name in arguments.networks:
        tasks = [joblib.delayed(official)(name, arguments.epochs, dev, fold) for fold in folds]
        answers = joblib.Parallel(n_jobs=joblib.cpu_count(only_physical_cores=True))(tasks)
        words = f"official recipe, {name}, {arguments.epochs} epochs"
        print(row(words, folds, answers, dev.malignant), flush=True)


def row(
    name: str, folds: list[Fold], answers: list[NDArray[Any]], malignant: NDArray[np.bool_]
) -> str:
    """Return a row: AUC of folds ± standard error, pooled AUC, accuracy once calibrated."""
    aucs = [roc_auc_score(malignant[f.score], a) for f, a in zip(folds, answers, strict=True)]
    n_repeats = folds[-1].repeat + 1
    pooled = np.zeros((n_repeats, len(malignant)))
    for fold, answer in zip(folds, answers, strict=True):
        pooled[fold.repeat, fold.score] = answer
    decisions = [choose_decision(p, malignant) for p in pooled]
    accuracy = [
        ((d.probability(p) >= d.threshold) == malignant).mean()
        for d, p in zip(decisions, pooled, strict=True)
    ]
    error = np.std(aucs, ddof=1) / np.sqrt(len(aucs))
    auc = np.mean([roc_auc_score(malignant, p) for p in pooled])
    return (
        f"| {name} | {n_repeats} | {np.mean(aucs):.3f} ± {error:.3f} | {auc:.3f} "
        f"| {np.mean(accuracy):.3f} |"
    )


def features_of(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Return the features of images (N, 28, 28) by name, each (N, F)."""
    features = {
        "HOG": np.stack([hog(i, 9, (7, 7), (2, 2)) for i in images]),
        "LBP": np.stack([_patterns(i) for i in images]),
        "wavelets": np.stack([_wavelets(i.astype(np.float64)) for i in images]),
    }
    return {**features, "HOG + LBP + wavelets": np.concatenate(list(features.values()), axis=1)}


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


@memory.cache
def classical(
    learner: str, features: NDArray[np.float64], malignant: NDArray[np.bool_], fold: Fold
) -> NDArray[np.float64]:
    """Return the probability of malignant, or a score that rises with it, of a fold's images."""
    if learner == "SVM":
        model = make_pipeline(StandardScaler(), SVC()).fit(
            features[fold.train], malignant[fold.train]
        )
        answer: NDArray[np.float64] = model.decision_function(features[fold.score])
        return answer
    boosted = HistGradientBoostingClassifier(random_state=fold.seed)
    boosted.fit(features[fold.train], malignant[fold.train])
    return boosted.predict_proba(features[fold.score])[:, 1]


@memory.cache
def official(name: str, n_epochs: int, dev: ImageSet, fold: Fold) -> NDArray[np.float32]:
    """Train the official recipe on a fold and return the probability of malignant.

    Adam 1e-3, a tenth of it after half and a hundredth after three quarters of the epochs, batch
    128, no augmentation (Yang et al. 2023). There are no images to choose an epoch by: the last.
    """
    torch.set_num_threads(1)
    torch.manual_seed(fold.seed)
    network = NETWORKS[name](num_classes=2)
    network.conv1 = nn.Conv2d(1, 64, 3, stride=1, padding=1, bias=False)
    network.maxpool = nn.Identity()
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    milestones = [n_epochs // 2, n_epochs * 3 // 4]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    images, labels = as_tensors(dev)
    for _ in range(n_epochs):
        train_one_epoch(network, optimizer, images[fold.train], labels[fold.train])
        scheduler.step()
    answer: NDArray[np.float32] = score(network, images[fold.score])[:, 0].numpy()  # file's label 0
    return answer


if __name__ == "__main__":
    main()
