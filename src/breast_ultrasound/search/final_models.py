"""The models of the pipeline: how they are trained, and what their cards say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.folds import derive_seed
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.pictures import TRANSFORM
from breast_ultrasound.evaluation.calibration import (
    NOT_CALIBRATED,
    Calibration,
    platt_scaling,
)
from breast_ultrasound.evaluation.metrics import scores
from breast_ultrasound.evaluation.operating_points import HALF, choose_operating_points
from breast_ultrasound.files import InputError, read_arrays
from breast_ultrasound.model.artifact import ModelCard, TrainedModel
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import (
    NO_AUGMENTATION,
    Arithmetic,
    BaselineParams,
    ModelParams,
    TrainingParams,
)
from breast_ultrasound.runs.execute import Executor
from breast_ultrasound.runs.run import Run, RunResult, versions
from breast_ultrasound.search.fold_runs import refuse_diverged

# Apart from the folds' seeds, which have the path (repeat, fold).
BASELINE_PATH, FINAL_PATH = (1_000_000,), (1_000_001,)
TORCHVISION_WIDTH = 64
Table = tuple[list[str], list[list[Any]]]  # column names, then rows


def train_models(
    plan: Mapping[str, list[Run]],
    out_of_fold: NDArray[np.float32],
    near_duplicate_correlation: float,
    execute: Executor,
) -> dict[str, tuple[TrainedModel, Table]]:
    """Train the models of a plan side by side.

    Args:
        plan: the runs of `baseline` and of `final`. The longest run comes first: the others run
            beside it.
        out_of_fold: (N,) logits of the final configuration, of images not learned from: the
            ensemble is calibrated on them, and has its operating points from them. The baseline is
            not calibrated, and predicts from ½ on.
        near_duplicate_correlation: for the cards.

    Returns:
        each model, and the history of its training, one row per epoch.
    """
    runs = [run for runs in plan.values() for run in runs]
    results = execute(runs, ", ".join(plan))
    refuse_diverged(runs, results)
    calibrated = platt_scaling(out_of_fold, execute.malignant)
    probability = calibrated.probability(out_of_fold)
    estimates = scores(execute.malignant, probability)
    points = choose_operating_points(execute.malignant, probability)
    models, place = {}, 0
    for name, own_runs in plan.items():
        own = results[place : place + len(own_runs)]
        place += len(own_runs)
        calibration, named = calibrated, {f"out_of_fold_{k}": v for k, v in estimates.items()}
        own_points = points
        if name == "baseline":
            calibration, named = NOT_CALIBRATED, {"val_auc": float(own[0].val_auc.max())}
            own_points = {HALF: points[HALF]}
        card = _card(own_runs, calibration, own_points, named, near_duplicate_correlation, execute)
        models[name] = TrainedModel(card, [result.weights for result in own]), history_of(own)
    return models


def _card(
    runs: Sequence[Run],
    calibration: Calibration,
    points: Mapping[str, float],
    estimates: Mapping[str, float],
    near_duplicate_correlation: float,
    execute: Executor,
) -> ModelCard:
    return ModelCard(
        config=runs[0].config,
        image_size=execute.images.shape[1],
        transform=TRANSFORM,
        near_duplicate_correlation=near_duplicate_correlation,
        unlike_below=None,
        seeds=[run.seed for run in runs],
        operating_points=dict(points),
        temperature=calibration.temperature,
        offset=calibration.offset,
        data=execute.data_digest,
        versions=versions(),
        trained_on=execute.trained_on,
        scores=dict(estimates),
    )


def baseline_run(
    params: BaselineParams,
    arithmetic: Arithmetic,
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
            standardise="none",
        ),
        training=_plain_adam(params, arithmetic),
        augment=NO_AUGMENTATION,
        test_time_augmentation=False,
        recalibrate_batch_norm=False,
    )
    return Run(
        config,
        derive_seed(seed, *BASELINE_PATH),
        train=np.nonzero(dev.split == "train")[0],
        score=np.nonzero(dev.split == "val")[0],
        keep_weights=True,
        best_epoch=True,
        initial_weights=weights,
    )


def _plain_adam(params: BaselineParams, arithmetic: Arithmetic) -> TrainingParams:
    return TrainingParams(
        arithmetic=arithmetic,
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
    )


def final_runs(
    config: TrainingConfig,
    images: NDArray[np.int64],
    n_seeds: int,
    seed: int,
    score: NDArray[np.int64] | None = None,
) -> list[Run]:
    """Return a run for each member of the ensemble.

    Args:
        images: indices of the images to learn from.
        score: indices of images to score; None keeps the weights instead.

    Raises:
        InputError: there are fewer than two images to learn from.
    """
    if len(images) < 2:
        raise InputError(
            f"expected at least 2 images to train on, got {len(images)}; "
            "change preprocess.near_duplicate_correlation"
        )
    scored = np.arange(0) if score is None else score
    return [
        Run(
            config,
            derive_seed(seed, *FINAL_PATH, member),
            images,
            scored,
            keep_weights=score is None,
        )
        for member in range(n_seeds)
    ]


def read_out_of_fold(path: Path, n_images: int) -> NDArray[np.float32]:
    """Return the out-of-fold logits of each repeat, (R, N).

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
    return logits


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
