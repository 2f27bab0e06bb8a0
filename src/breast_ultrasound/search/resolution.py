"""The same images at 28, 64, 128 and 224 pixels, each size with the same folds and search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from breast_ultrasound.data.busbra import read_busbra, reports
from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet, joined
from breast_ultrasound.data.source import read_kept
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.evaluation.external import ScoredImages
from breast_ultrasound.model.resnet import count_flops
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import OFFICIAL_SIDES, Params, Stem
from breast_ultrasound.runs.execute import Executor, Resources
from breast_ultrasound.search.external import FoldNetworks, networks_on_folds
from breast_ultrasound.search.fold_runs import fold_auc, run_on, short

# What brings images of each size to maps of 28 to 56 pixels: the cost stays within a factor of 10.
STEMS: Mapping[int, Stem] = {28: "small", 64: "small_strided", 128: "imagenet", 224: "imagenet"}
LR_MULTIPLIERS = (0.5, 1.0, 2.0)  # of the rate tuned at 28
N_SEARCH_FOLDS = 1


@dataclass(frozen=True)
class Resolution:
    """What images of one size are worth.

    Attributes:
        side: pixels.
        config: with the learning rate that the search at this size chose.
        flops: floating-point operations of the forward passes of one image in one training.
        networks: of the folds of dev.
        scored: dev by the fold that left it out, test and BUS-BRA by the mean of the networks.
    """

    side: int
    config: TrainingConfig
    flops: int
    networks: FoldNetworks
    scored: list[ScoredImages]


def at_side(images: ImageSet, official: ImageSet) -> ImageSet:
    """Return a set at the size of the official file, with the groups and flags that it has.

    Raises:
        ValueError: an image of the set is not in the file.
    """
    place = {name: i for i, name in enumerate(official.name.tolist())}
    if missing := set(images.name.tolist()) - place.keys():
        raise ValueError(f"expected the images of the official file, got {sorted(missing)[0]}")
    return replace(images, images=official.images[[place[name] for name in images.name.tolist()]])


def score_at(
    side: int,
    config: TrainingConfig,
    dev: ImageSet,
    test: ImageSet,
    busbra: ImageSet,
    params: Params,
    resources: Resources,
) -> Resolution:
    """Search the learning rate at one size, train on all folds, and score everything.

    Args:
        config: the chosen one, of 28 pixels.
        dev, test, busbra: images of this size.
    """
    model = config.model.model_copy(update={"stem": STEMS[side], "input_size": None})
    start = config.model_copy(update={"model": model})
    own = _tuned(start, dev, params, resources)
    others = joined([test, busbra])
    networks = networks_on_folds(
        own, dev, others, params.folds.n_splits, 1, params.seed, resources, f"{side} pixels"
    )
    calibration = platt_scaling(networks.held_out[0], dev.malignant)
    outside = calibration.probability(networks.others.mean(axis=0))
    words, n_test = f"{side} pixels", len(test)
    scored = [
        ScoredImages(words, "dev, folds", dev, calibration.probability(networks.held_out[0])),
        ScoredImages(words, "test", test, outside[:n_test]),
        ScoredImages(words, "BUS-BRA", busbra, outside[n_test:]),
    ]
    if test.leaked.any():
        scored.insert(2, scored[1].subset(~test.leaked, "leak-free test"))
    flops = count_flops(own.model, side) * own.training.n_epochs
    return Resolution(side, own, flops, networks, scored)


def compare_sizes(
    config: TrainingConfig,
    dev: ImageSet,
    test: ImageSet,
    busbra_folder: Path,
    params: Params,
    resources: Resources,
    cache: Path | None,
) -> list[Resolution]:
    """Score every size of BreastMNIST, the smallest first.

    Args:
        cache: the program's cache folder, where official files are kept.
    """
    cut, sizes = params.preprocess.near_duplicate_correlation, []
    for side in OFFICIAL_SIDES:
        official = read_kept(side, params.data.search_path, cache)
        elsewhere = read_busbra(busbra_folder, side, cut)
        elsewhere = elsewhere.subset(reports(elsewhere))
        own = at_side(dev, official), at_side(test, official)
        sizes.append(score_at(side, config, *own, elsewhere, params, resources))
    return sizes


def summarise(sizes: Sequence[Resolution], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the content of metrics/studies/resolution.json.

    Args:
        rows: the scores of all sizes' images, in order.
    """
    content: dict[str, Any] = {}
    for size in sizes:
        own = [row for row in rows if row["learned_from"] == f"{size.side} pixels"]
        content[str(size.side)] = {
            "stem": size.config.model.stem,
            "lr": size.config.lr,
            "flops": size.flops,
            **{str(row["scored_on"]).replace(", ", "_").replace("-", "_").replace(" ", "_"): row
               for row in own},
        }  # fmt: skip
    return content


def _tuned(
    start: TrainingConfig, dev: ImageSet, params: Params, resources: Resources
) -> TrainingConfig:
    """Return the configuration with the best of three learning rates on one of the search's folds.

    Of equally good ones the first.
    """
    folds = make_folds(dev.malignant, dev.group, params.folds.n_splits, params.seed)
    folds = folds[:N_SEARCH_FOLDS]
    configs = [
        start.model_copy(update={"lr": short(start.lr * factor)}) for factor in LR_MULTIPLIERS
    ]
    runs = [run_on(config, fold) for config in configs for fold in folds]
    arithmetic = start.training.arithmetic
    execute = Executor(dev.images, dev.malignant, resources, arithmetic)
    results = iter(execute(runs, f"{dev.side} pixels, learning rate"))
    aucs = [[fold_auc(next(results), fold, dev.malignant) for fold in folds] for _ in configs]
    return configs[int(np.argmax([np.mean(own) for own in aucs]))]
