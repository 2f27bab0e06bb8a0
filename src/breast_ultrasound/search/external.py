"""What models score on another hospital's images, and what learning from those is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.busbra import reports
from breast_ultrasound.data.dev_and_test import find_known
from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet, joined
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.evaluation.external import ScoredImages
from breast_ultrasound.model.artifact import TrainedModel
from breast_ultrasound.model.classifier import predict
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params
from breast_ultrasound.runs.execute import Executor, Resources
from breast_ultrasound.runs.run import Run
from breast_ultrasound.search.cross_validation import SEARCH_REPEAT
from breast_ultrasound.search.fold_runs import refuse_diverged


@dataclass(frozen=True)
class FoldNetworks:
    """What the networks of repeated folds say.

    Attributes:
        held_out: (R, N) float32 logits of the images of the folds, by networks without them.
        others: (R·K, M) float32 logits of images of no fold.
    """

    held_out: NDArray[np.float32]
    others: NDArray[np.float32]


def networks_on_folds(
    config: TrainingConfig,
    learned: ImageSet,
    others: ImageSet,
    n_splits: int,
    n_repeats: int,
    seed: int,
    resources: Resources,
    label: str,
) -> FoldNetworks:
    """Train on the folds of a set, and score what each leaves out and the images of no fold."""
    everything = joined([learned, others])
    n_learned = len(learned)
    folds = [
        fold
        for repeat in range(SEARCH_REPEAT + 1, SEARCH_REPEAT + 1 + n_repeats)
        for fold in make_folds(learned.malignant, learned.group, n_splits, seed, repeat)
    ]
    outside = np.arange(n_learned, len(everything))
    runs = [
        Run(config, fold.seed, fold.train, np.concatenate([fold.score, outside])) for fold in folds
    ]
    arithmetic = config.training.arithmetic
    execute = Executor(everything.images, everything.malignant, resources, arithmetic)
    results = execute(runs, label)
    refuse_diverged(runs, results)
    held_out = np.full((n_repeats, n_learned), np.nan, dtype=np.float32)
    for fold, result in zip(folds, results, strict=True):
        held_out[fold.repeat - SEARCH_REPEAT - 1, fold.score] = result.logits[: len(fold.score)]
    n_others = len(others)
    return FoldNetworks(held_out, np.stack([r.logits[len(r.logits) - n_others :] for r in results]))


def external_predictions(
    models: Mapping[str, TrainedModel],
    config: TrainingConfig,
    dev: ImageSet,
    test: ImageSet,
    busbra: ImageSet,
    params: Params,
    resources: Resources,
) -> list[ScoredImages]:
    """Return the predictions at home and elsewhere, of each way of learning.

    The pipeline's models, which learned from dev, score test and BUS-BRA's reporting part; the
    networks of folds of BUS-BRA, and of BUS-BRA and dev together, score what their fold leaves out,
    and test.
    """
    scored = []
    for name, model in models.items():
        classifier = model.classifier().to(resources.device)
        for words, images in (("test", test), ("BUS-BRA", busbra.subset(reports(busbra)))):
            said = predict(classifier, images.images, resources.device).probability
            scored.append(ScoredImages(f"BreastMNIST, {name}", words, images, said))
    cut = params.preprocess.near_duplicate_correlation
    elsewhere = busbra.subset(~find_known(busbra.thumbnails, joined([dev, test]).thumbnails, cut))
    for words, learned in (("BUS-BRA", elsewhere), ("both", joined([dev, elsewhere]))):
        scored += _on_folds(words, config, learned, test, params, resources)
    return [*scored, *_leak_free(scored)]


def _on_folds(
    words: str,
    config: TrainingConfig,
    learned: ImageSet,
    test: ImageSet,
    params: Params,
    resources: Resources,
) -> list[ScoredImages]:
    n_splits, n_repeats = params.folds.n_splits, params.cross_validate.n_repeats
    networks = networks_on_folds(
        config, learned, test, n_splits, n_repeats, params.seed, resources, words
    )
    pooled = networks.held_out.mean(axis=0)
    calibration = platt_scaling(pooled, learned.malignant)
    held_out = ScoredImages(words, "", learned, calibration.probability(pooled))
    from_busbra = learned.patient != ""
    reporting = from_busbra.copy()
    reporting[from_busbra] = reports(learned.subset(from_busbra))
    rows = [held_out.subset(reporting, "BUS-BRA")]
    if not from_busbra.all():
        rows.append(held_out.subset(~from_busbra, "dev, folds"))
    on_test = calibration.probability(networks.others.mean(axis=0))
    return [*rows, ScoredImages(words, "test", test, on_test)]


def _leak_free(scored: Sequence[ScoredImages]) -> list[ScoredImages]:
    return [
        one.subset(~one.images.leaked, "leak-free test")
        for one in scored
        if one.scored_on == "test" and one.images.leaked.any()
    ]
