"""The trainings that show what near-duplicates do: learned without them, or without others."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.folds import Fold, derive_seed
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.calibration import Calibration
from breast_ultrasound.evaluation.fold_leakage import FoldScores, effect_by_image
from breast_ultrasound.evaluation.leakage import nearest_neighbour
from breast_ultrasound.evaluation.metrics import auc_difference
from breast_ultrasound.model.artifact import TrainedModel
from breast_ultrasound.model.classifier import Predictions, predict
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params
from breast_ultrasound.runs.execute import Executor, Resources
from breast_ultrasound.search.cross_validation import cross_validate, single_auc
from breast_ultrasound.search.final_models import final_runs
from breast_ultrasound.search.fold_runs import refuse_diverged

CONTROL_PATH = (1_000_002,)  # of its seed, apart from those of folds and models
Subset = Literal["without_leaked", "size_matched_control"]


def images_to_learn(subset: Subset, dev: ImageSet, seed: int) -> NDArray[np.int64]:
    """Return the dev images to learn from, as ascending indices.

    Args:
        subset: `without_leaked` leaves out the images with a near-duplicate in test;
            `size_matched_control` as many of each class, at random, of those without one: what
            remains is as much, and knows the near-duplicates.
    """
    if subset == "without_leaked":
        return np.nonzero(~dev.leaked)[0]
    rng = np.random.default_rng(derive_seed(seed, *CONTROL_PATH))
    kept = np.ones(len(dev), dtype=np.bool_)
    for malignant in (False, True):
        of_class = dev.malignant == malignant
        free = rng.permutation(np.nonzero(of_class & ~dev.leaked)[0])
        n_leaked = (of_class & dev.leaked).sum()
        if len(free) < n_leaked:
            print(
                f"warning: {n_leaked} {'malignant' if malignant else 'benign'} images have a "
                f"near-duplicate in test, only {len(free)} have none: the control learns from "
                "more images; raise preprocess.near_duplicate_correlation to compare them",
                file=sys.stderr,
            )
        kept[free[:n_leaked]] = False
    return np.nonzero(kept)[0]


def logits_on_test(
    config: TrainingConfig,
    learned: NDArray[np.int64],
    dev: ImageSet,
    test: ImageSet,
    also_train: ImageSet,
    n_seeds: int,
    seed: int,
    resources: Resources,
    label: str,
) -> NDArray[np.float32]:
    """Return the logits of test images, (n_seeds, N), by networks that learned from dev images.

    Args:
        learned: indices into dev.
        also_train: learned from besides. The networks have the seeds of the final model's members.
    """
    images = np.concatenate([dev.images, test.images])
    malignant = np.concatenate([dev.malignant, test.malignant])
    runs = final_runs(config, learned, n_seeds, seed, score=np.arange(len(dev), len(images)))
    execute = Executor(images, malignant, resources, config.training.arithmetic, also_train)
    results = execute(runs, label)
    refuse_diverged(runs, results)
    return np.stack([result.logits for result in results])


def predictions_of(logits: NDArray[np.float32], calibration: Calibration) -> Predictions:
    """Return the predictions of networks, from logits (M, N) and one calibration for all."""
    return Predictions(
        calibration.probability(logits.mean(axis=0)), calibration.probability(logits)
    )


def models_on_test(
    config: TrainingConfig,
    pipeline: Mapping[str, TrainedModel],
    dev: ImageSet,
    test: ImageSet,
    also_train: ImageSet,
    seed: int,
    resources: Resources,
) -> dict[str, Predictions]:
    """Return the predictions of test images by models that know its near-duplicates or do not.

    `baseline` and `final` are the pipeline's; `retrained` is the final model's configuration, seeds
    and calibration without the dev images that have a near-duplicate in test;
    `size_matched_control` without as many others; `nearest_neighbour` is memory alone.
    """
    final = pipeline["final"].card
    calibration = Calibration(final.temperature, final.offset)
    models = {
        name: predict(model.classifier().to(resources.device), test.images, resources.device)
        for name, model in pipeline.items()
    }
    subsets: dict[str, Subset]
    subsets = {"retrained": "without_leaked", "size_matched_control": "size_matched_control"}
    for name, subset in subsets.items():
        learned = images_to_learn(subset, dev, seed)
        logits = logits_on_test(
            config, learned, dev, test, also_train, len(final.seeds), seed, resources, name
        )
        models[name] = predictions_of(logits, calibration)
    return {**models, "nearest_neighbour": nearest_neighbour(test, dev)}


def effect_on_folds(
    config: TrainingConfig,
    dev: ImageSet,
    also_train: ImageSet,
    grouped: NDArray[np.float32],
    kind: NDArray[np.str_],
    params: Params,
    resources: Resources,
) -> dict[str, Any]:
    """Return the mean AUC of one network on grouped folds and on folds that duplicates may cross.

    Beside them, by image, see `effect_by_image`.

    Args:
        kind: (N,) of each image, as malignant, benign and normal.
        grouped: (R, N) out-of-fold logits on grouped folds; there are as many repeats of the other.
    """
    execute = Executor(dev.images, dev.malignant, resources, config.training.arithmetic, also_train)
    ungrouped = cross_validate(
        config, dev, params.folds.n_splits, len(grouped), params.seed, execute, grouped=False
    )
    truth = dev.malignant
    exposed = exposed_on(ungrouped.folds, dev.group)
    scores = FoldScores(grouped, ungrouped.logits, exposed, truth, dev.group, kind)
    return {
        "grouped_auc": single_auc(grouped, truth),
        "ungrouped_auc": single_auc(ungrouped.logits, truth),
        "ungrouped_minus_grouped": auc_difference(
            ungrouped.logits, grouped, truth, dev.group, params.evaluate, params.seed
        ),
        "by_image": effect_by_image(scores, params.evaluate, params.seed),
    }


def exposed_on(folds: Sequence[Fold], group: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether another image of its group was learned from when an image was scored.

    Args:
        folds: of R repeats, one repeat after the other.
        group: (N,) int64.

    Returns:
        (R, N) bool.
    """
    repeats = list(dict.fromkeys(fold.repeat for fold in folds))
    exposed = np.zeros((len(repeats), len(group)), dtype=np.bool_)
    for fold in folds:
        known = np.isin(group[fold.score], group[fold.train])
        exposed[repeats.index(fold.repeat), fold.score] = known
    return exposed
