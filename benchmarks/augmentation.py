"""What augmentation is worth under grouped folds, and on the official test images.

The configuration that the searches chose, with and without. Run after `dvc repro`. The scores on
test choose nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.folds import chosen_config, on_folds
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation.metrics import auc_difference
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import AugmentParams, Params, load_params
from breast_ultrasound.runs.execute import Executor, Resources, find_resources
from breast_ultrasound.search.cross_validation import single_auc
from breast_ultrasound.search.final_models import final_runs
from tools.workspace import ROOT

NONE = AugmentParams(flip=0, rotation=0, scale=0, shift=0, contrast=0, brightness=0, cutout=0)


def main() -> None:
    """Print a table in Markdown: the AUC without and with, and the difference."""
    params = load_params(ROOT / "params.yaml")
    dev, test = (ImageSet.load(ROOT / f"data/processed/{name}.npz") for name in ("dev", "test"))
    resources = find_resources("auto", 0, None)
    chosen = chosen_config()
    arms = [chosen.model_copy(update={"augment": a}) for a in (NONE, chosen.augment)]
    print("| scored on | without | with | difference |\n| --- | --- | --- | --- |")
    execute = Executor(dev.images, dev.malignant, resources)
    folds = [on_folds(dev, params.cross_validate.n_repeats, execute, arm).logits for arm in arms]
    report("dev, grouped folds", folds, dev, params)
    seeds = [on_test(arm, dev, test, params, resources) for arm in arms]
    for words, mask in (
        ("test, all", test.leaked | True),
        ("test, leak-free", ~test.leaked),
        ("test, leaked", test.leaked),
    ):
        report(words, [rows[:, mask] for rows in seeds], test.subset(mask), params)


def on_test(
    config: TrainingConfig, dev: ImageSet, test: ImageSet, params: Params, resources: Resources
) -> NDArray[np.float32]:
    """Return the logits of test images by networks trained on all of dev, (seeds, images)."""
    images = np.concatenate([dev.images, test.images])
    malignant = np.concatenate([dev.malignant, test.malignant])
    known, asked = np.arange(len(dev)), np.arange(len(dev), len(images))
    runs = final_runs(config, known, params.final.n_seeds, params.seed)
    runs = [replace(run, score=asked, keep_weights=False) for run in runs]
    return np.stack([r.logits for r in Executor(images, malignant, resources)(runs, "test")])


def report(
    words: str, arms: Sequence[NDArray[np.float32]], images: ImageSet, params: Params
) -> None:
    """Print a row: mean AUC over trainings without and with, and the paired difference."""
    truth = images.malignant
    without, with_ = (single_auc(rows, truth) for rows in arms)
    row = auc_difference(arms[1], arms[0], truth, images.group, params.evaluate, params.seed)
    gain = f"{row['auc']:+.3f} [{row['auc_low']:+.3f}, {row['auc_high']:+.3f}]"
    print(f"| {words} | {without:.3f} | {with_:.3f} | {gain} |", flush=True)


if __name__ == "__main__":
    main()
