"""The models: how they are trained, and what their cards say."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import SPLITS, ImageSet
from breast_ultrasound.data.folds import derive_seed
from breast_ultrasound.evaluation.calibration import PLAIN, Decision, choose_decision
from breast_ultrasound.evaluation.metrics import scores
from breast_ultrasound.files import InputError, read_arrays
from breast_ultrasound.model.artifact import ModelCard
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import (
    AugmentParams,
    BaselineParams,
    FinalParams,
    ModelParams,
    TrainingParams,
)
from breast_ultrasound.runs.execute import Executor
from breast_ultrasound.runs.run import Run, RunResult, versions

# Apart from the folds' seeds, which have the path (repeat, fold).
BASELINE_PATH, FINAL_PATH, CONTROL_PATH = (1_000_000,), (1_000_001,), (1_000_002,)
TORCHVISION_WIDTH = 64
LeftOut = Literal["nothing", "leaked", "others"]


@dataclass(frozen=True)
class TrainedModel:
    """A model: its card, the weights of each member, and a table with a row an epoch."""

    card: ModelCard
    weights: list[Mapping[str, NDArray[np.float32]]]
    history: tuple[list[str], list[list[Any]]]  # column names, then rows


def plan_models(
    config: TrainingConfig,
    final: FinalParams,
    baseline: BaselineParams,
    baseline_weights: Mapping[str, NDArray[np.float32]] | None,
    dev: ImageSet,
    seed: int,
) -> dict[str, list[Run]]:
    """Return the runs of each model by name.

    `final` learns from all of dev, `retrained` not from the images with a near-duplicate in test,
    and `control` not from as many others. The baseline's run is the longest, and comes first: the
    others run beside it.
    """
    runs = {"baseline": [baseline_run(baseline, dev, seed, baseline_weights)]}
    left_out: dict[str, LeftOut]
    left_out = {"final": "nothing", "retrained": "leaked", "control": "others"}
    for name, what in left_out.items():
        runs[name] = final_runs(config, images_without(what, dev, seed), final.n_seeds, seed)
    return runs


def train_models(
    plan: Mapping[str, list[Run]], out_of_fold: NDArray[np.float32], execute: Executor
) -> dict[str, TrainedModel]:
    """Carry out the runs of all models side by side.

    Args:
        out_of_fold: (N,) logits of the final configuration, of images not learned from: the
            ensembles are calibrated on them. The baseline is not: plain probabilities, called at
            0.5.
    """
    everything = [run for runs in plan.values() for run in runs]
    results = iter(execute(everything, ", ".join(plan)))
    calibrated = choose_decision(out_of_fold, execute.malignant)
    probability = calibrated.probability(out_of_fold)
    estimates = scores(execute.malignant, probability, calibrated.threshold)
    out_of_fold_scores = {f"out_of_fold_{name}": value for name, value in estimates.items()}
    trained = {}
    for name, runs in plan.items():
        own = [next(results) for _ in runs]
        decision, said = calibrated, out_of_fold_scores
        if name == "baseline":
            decision, said = PLAIN, {"val_auc": float(own[0].val_auc.max())}
        card = _card(runs, decision, said, execute)
        trained[name] = TrainedModel(card, [result.weights for result in own], history_of(own))
    return trained


def _card(
    runs: Sequence[Run], decision: Decision, said: Mapping[str, float], execute: Executor
) -> ModelCard:
    return ModelCard(
        config=runs[0].config,
        seeds=[run.seed for run in runs],
        temperature=decision.temperature,
        offset=decision.offset,
        threshold=decision.threshold,
        data=execute.data_digest,
        versions=versions(),
        trained_on=execute.trained_on,
        scores=dict(said),
    )


def baseline_run(
    params: BaselineParams,
    dev: ImageSet,
    seed: int,
    weights: Mapping[str, NDArray[np.float32]] | None,
) -> Run:
    """Return the run of torchvision's ResNet-18 with plain Adam and without augmentation.

    It learns from the train images and keeps the epoch of best AUC on the val images, as MedMNIST's
    own benchmark does (Yang et al. 2023, https://doi.org/10.1038/s41597-022-01721-8).
    """
    config = TrainingConfig(
        lr=params.lr,
        model=ModelParams(
            stem="imagenet",
            input_size=params.input_size,
            width=TORCHVISION_WIDTH,
            blocks=[2, 2, 2, 2],  # ResNet-18: He et al. 2016, table 1
            dropout=0.0,
        ),
        training=TrainingParams(
            n_epochs=params.n_epochs,
            batch_size=params.batch_size,
            optimizer="adamw",  # without decay it is Adam
            schedule="constant",
            warmup=0.5,  # not used by a constant schedule
            weight_decay=0.0,
            ema_decay=0.0,
            loss="bce",
            label_smoothing=0.0,
            malignant_weight=1.0,
            focal_gamma=0.0,
        ),
        augment=AugmentParams(
            flip=0, rotation=0, scale=0, shift=0, contrast=0, brightness=0, cutout=0
        ),
        test_time_augmentation=False,
        recalibrate_batch_norm=False,
    )
    return Run(
        config,
        derive_seed(seed, *BASELINE_PATH),
        train=np.nonzero(dev.split == SPLITS.index("train"))[0],
        score=np.nonzero(dev.split == SPLITS.index("val"))[0],
        keep_weights=True,
        best_epoch=True,
        initial_weights=weights,
    )


def images_without(left_out: LeftOut, dev: ImageSet, seed: int) -> NDArray[np.int64]:
    """Return the dev images to learn from, as ascending indices.

    Args:
        left_out: `leaked` leaves out the images with a near-duplicate in test; `others` as many of
            each
            class, at random, of those without one: what remains is as much, and knows the
                near-duplicates.
    """
    rng = np.random.default_rng(derive_seed(seed, *CONTROL_PATH))
    kept = np.ones(len(dev), dtype=np.bool_)
    if left_out == "leaked":
        kept = ~dev.leaked
    elif left_out == "others":
        for malignant in (False, True):
            of_class = dev.malignant == malignant
            free = rng.permutation(np.nonzero(of_class & ~dev.leaked)[0])
            n_leaked = (of_class & dev.leaked).sum()
            if len(free) < n_leaked:
                print(
                    f"warning: {n_leaked} {'malignant' if malignant else 'benign'} images have a "
                    f"near-duplicate in test, only {len(free)} have none: the control learns "
                    "from more images; raise preprocess.near_duplicate_correlation to compare them",
                    file=sys.stderr,
                )
            kept[free[:n_leaked]] = False
    return np.nonzero(kept)[0]


def final_runs(
    config: TrainingConfig, images: NDArray[np.int64], n_seeds: int, seed: int
) -> list[Run]:
    """Return a run for each member of the ensemble.

    Args:
        images: indices of the images to learn from, into dev.

    Raises:
        InputError: there are fewer than two.
    """
    if len(images) < 2:
        raise InputError(
            f"expected at least 2 images to train on, got {len(images)}; "
            "change preprocess.near_duplicate_correlation"
        )
    nothing = np.arange(0)
    return [
        Run(config, derive_seed(seed, *FINAL_PATH, member), images, nothing, keep_weights=True)
        for member in range(n_seeds)
    ]


def read_out_of_fold(path: Path, n_images: int) -> NDArray[np.float32]:
    """Return the mean out-of-fold logit of each image over the repeats, (N,).

    Raises:
        InputError: no such file, or it is of another set of images.
    """
    logits: NDArray[Any] = read_arrays(path, ["logits"])["logits"]
    if logits.dtype != np.float32 or logits.ndim != 2 or logits.shape[1:] != (n_images,):
        raise InputError(
            f"{path}: logits: expected float32 of shape (repeats, {n_images}), "
            f"got {logits.dtype} of shape {logits.shape}; run `dvc repro` again"
        )
    if not (len(logits) and np.isfinite(logits).all()):
        raise InputError(f"{path}: logits: expected finite numbers; run `dvc repro` again")
    mean: NDArray[np.float32] = logits.mean(axis=0)
    return mean


def history_of(results: Sequence[RunResult]) -> tuple[list[str], list[list[Any]]]:
    """Return the training loss of each epoch: its mean over the members, and each member's.

    Where the best epoch was chosen, the AUC on the scored images stands beside it.
    """
    losses = np.stack([result.train_loss for result in results], axis=1)  # (E, M)
    columns = [np.arange(1, len(losses) + 1), losses.mean(axis=1), *losses.T]
    names = ["epoch", "train_loss", *(f"member_{i}" for i in range(len(results)))]
    if len(results[0].val_auc):
        columns.append(results[0].val_auc)
        names.append("val_auc")
    return names, [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
