"""What others do, on the same grouped folds: the official recipe, ResNet-50, classical features.

    python -m benchmarks.references [--networks NAME …] [--epochs 20] [--repeats 1]

A training of a network that is finished is kept in the user's cache folder. Run after `dvc repro`.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import joblib
import numpy as np
import pywt
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from skimage.feature import hog, local_binary_pattern
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn
from torchvision.models import resnet18, resnet50

from benchmarks.compare import cells
from benchmarks.official_recipe import as_tensors, official_network, score, train_one_epoch
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.files import read_arrays, write_arrays
from breast_ultrasound.model.training import read_config
from breast_ultrasound.params import load_params
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.runs.run import Run, RunResult, digest_of
from breast_ultrasound.search.cross_validation import CrossValidation, cross_validate
from breast_ultrasound.search.fold_runs import Execute
from tests.workspace import ROOT

KEPT = user_cache_path("breast-ultrasound") / "references"
EVERYTHING = "HOG + LBP + wavelets"
NETWORKS: dict[str, Callable[..., nn.Module]] = {"ResNet-18": resnet18, "ResNet-50": resnet50}


def main() -> None:
    """Print a table in Markdown, the quick rows first; columns as in `benchmarks.compare`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of the recipe's 100")
    parser.add_argument("--repeats", type=int, default=1, help="of the folds, for networks")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    arguments = parser.parse_args()
    dev = ImageSet.load(ROOT / "data/processed/dev.npz")
    print("| learner | AUC of folds | AUC, one | AUC, all repeats | accuracy |")
    print("| --- | --- | --- | --- | --- |")
    features = features_of(dev.images)
    for name, values in features.items():
        for learner in ("SVM", "gradient boosting"):
            answer = partial(classical, learner, values, dev.malignant)
            print_row(f"{name}, {learner}", dev, 3, side_by_side(answer))
    blend = blended(dev, features[EVERYTHING])
    print_row(f"{EVERYTHING}, SVM, added to the network's logit", dev, 3, blend)
    for name in arguments.networks:
        answer = partial(official, name, arguments.epochs, dev)
        words = f"official recipe, {name}, {arguments.epochs} epochs"
        print_row(words, dev, arguments.repeats, side_by_side(answer))


def print_row(name: str, dev: ImageSet, n_repeats: int, execute: Execute) -> None:
    """Cross-validate a learner, and print its row."""
    result = cross_validated(dev, n_repeats, execute)
    aucs = np.array([row["auc"] for row in result.fold_scores])
    folds, _, *rest = cells(result, aucs, aucs, dev)  # no first row to differ from
    print(f"| {' | '.join((name, folds, *rest))} |", flush=True)


def cross_validated(dev: ImageSet, n_repeats: int, execute: Execute) -> CrossValidation:
    """Cross-validate a learner on the pipeline's folds; runs have the chosen configuration."""
    params = load_params(ROOT / "params.yaml")
    config = read_config(ROOT / "data/chosen.json")
    return cross_validate(config, dev, params.folds.n_splits, n_repeats, params.seed, execute)


def side_by_side(answer: Callable[[Run], NDArray[np.floating]]) -> Execute:
    """Return what carries out runs by `answer`, which scores a run's images, on all cores."""

    def execute(runs: list[Run], _: str) -> list[RunResult]:
        parallel = joblib.Parallel(n_jobs=joblib.cpu_count(only_physical_cores=True))
        answers = parallel(joblib.delayed(answer)(run) for run in runs)
        nothing = np.zeros(0)
        return [RunResult(a.astype(np.float32), nothing, nothing) for a in answers]

    return execute


def blended(dev: ImageSet, features: NDArray[np.float64]) -> Execute:
    """Return what adds an SVM's decision values to the logits of the pipeline's network."""
    networks = Executor(dev.images, dev.malignant, find_resources("auto", 0, None))

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
    return boosted.predict_proba(features[run.score])[:, 1]


def official(name: str, n_epochs: int, dev: ImageSet, run: Run) -> NDArray[np.float32]:
    """Train the official recipe and return the probability of malignant; a finished one is kept.

    Adam 1e-3, a tenth of it after half and a hundredth after three quarters of the epochs, batch
    128, no augmentation (Yang et al. 2023). There are no images to choose an epoch by: the last.
    """
    told = {"images": dev.images, "malignant": dev.malignant, "train": run.train}
    kept = KEPT / f"{name}-{n_epochs}-{run.seed}-{digest_of(told)[:16]}.npz"
    if kept.exists():
        return read_arrays(kept, ["answer"])["answer"]
    torch.set_num_threads(1)
    torch.manual_seed(run.seed)
    network = official_network(NETWORKS[name]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    milestones = [n_epochs // 2, n_epochs * 3 // 4]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    images, labels = as_tensors(dev)
    for _ in range(n_epochs):
        train_one_epoch(network, optimizer, images[run.train], labels[run.train])
        scheduler.step()
    answer: NDArray[np.float32] = score(network, images[run.score])[:, 0].numpy()  # file's label 0
    write_arrays(kept, {"answer": answer})
    return answer


if __name__ == "__main__":
    main()
