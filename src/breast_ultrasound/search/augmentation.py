"""What augmentation is worth: the same trainings with and without."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.metrics import auc_difference
from breast_ultrasound.evaluation.model_scores import subsets_of
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import NO_AUGMENTATION, Params
from breast_ultrasound.runs.execute import Executor, Resources
from breast_ultrasound.search.cross_validation import cross_validate, single_auc
from breast_ultrasound.search.leakage import logits_on_test


def effects_of_augmentation(
    config: TrainingConfig,
    dev: ImageSet,
    test: ImageSet,
    also_train: ImageSet,
    out_of_fold: NDArray[np.float32],
    params: Params,
    resources: Resources,
) -> tuple[dict[str, dict[str, float]], str]:
    """Return the mean AUC of single networks without and with augmentation, by images scored.

    Args:
        also_train: learned from besides in every training.
        out_of_fold: (R, N) logits of the configuration, with augmentation, on grouped folds.

    Returns:
        for `folds` of dev and each subset of test: `without`, `with`, and their difference `auc`
        with the ends of its interval; and what the trainings computed with.
    """
    plain = config.model_copy(update={"augment": NO_AUGMENTATION})
    execute = Executor(dev.images, dev.malignant, resources, config.training.arithmetic, also_train)
    without = cross_validate(
        plain, dev, params.folds.n_splits, len(out_of_fold), params.seed, execute
    ).logits
    rows = {"folds": _difference(without, out_of_fold, dev, params)}
    everything, n_seeds = np.arange(len(dev)), params.final.n_seeds
    arms = [
        logits_on_test(
            arm, everything, dev, test, also_train, n_seeds, params.seed, resources, label
        )
        for arm, label in ((plain, "test, without"), (config, "test, with"))
    ]
    for name, mask in subsets_of(test).items():
        rows[name] = _difference(arms[0][:, mask], arms[1][:, mask], test.subset(mask), params)
    return rows, execute.trained_on


def _difference(
    without: NDArray[np.float32], with_: NDArray[np.float32], images: ImageSet, params: Params
) -> dict[str, Any]:
    truth = images.malignant
    return {
        "without": single_auc(without, truth),
        "with": single_auc(with_, truth),
        **auc_difference(with_, without, truth, images.group, params.evaluate, params.seed),
    }
