"""Compare configurations by repeated grouped cross-validation on dev: what lab notes quote.

    python -m benchmarks.compare model.blocks=[2,2,2,2] training.n_epochs=60,lr=0.001 [--fp32]

Each argument is the chosen configuration with changes. The first row is the configuration itself,
the last the official recipe, whose trainings (over an hour, once) are kept in the user's cache
folder. Folds and seeds are the same for all, so that differences are paired. Run after `dvc repro`.
"""

import argparse
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.folds import chosen_config, load_dev, on_folds
from benchmarks.official_recipe import N_EPOCHS, official_on_folds
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation.calibration import choose_decision
from breast_ultrasound.evaluation.metrics import scores
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.search.cross_validation import CrossValidation, single_auc


def main() -> None:
    """Print a table in Markdown, a row a configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("changes", nargs="*", help="name=value,… of the configuration")
    parser.add_argument("--repeats", type=int, default=3, help="of the folds")
    parser.add_argument("--fp32", action="store_true", help="even where bf16 is faster")
    arguments = parser.parse_args()
    dev, chosen = load_dev(), chosen_config()
    resources = find_resources("auto", 0, None)
    if arguments.fp32:
        resources = replace(resources, hardware=replace(resources.hardware, precision="fp32"))
    execute = Executor(dev.images, dev.malignant, resources)

    def results() -> Iterator[tuple[str, CrossValidation]]:
        for changes in ["", *arguments.changes]:
            config = change(chosen, changes)
            yield changes or "as chosen", on_folds(dev, arguments.repeats, execute, config)

    print_table("configuration", results(), dev)


def print_table(what: str, results: Iterable[tuple[str, CrossValidation]], dev: ImageSet) -> None:
    """Print a table in Markdown, a row a name and its cross-validation, as they come.

    The last row is the official recipe on the folds of the first repeat.

    Args:
        what: heading of the names.
    """
    heads = "AUC of folds | − first row | AUC, one | AUC, all | accuracy, one | accuracy, all"
    print(f"| {what} | {heads} |\n| --- | --- | --- | --- | --- | --- | --- |")
    first: NDArray[np.float64] | None = None
    for name, result in chain(results, official_row(dev)):
        aucs = np.array([row["auc"] for row in result.fold_scores])
        first = aucs if first is None else first
        print(f"| {name} | {' | '.join(cells(result, aucs, first, dev))} |", flush=True)


def official_row(dev: ImageSet) -> Iterator[tuple[str, CrossValidation]]:
    """Yield the baseline of every comparison, trained when its turn comes unless it is kept."""
    yield f"official recipe, {N_EPOCHS} epochs, one repeat", official_on_folds(dev)


def change(config: TrainingConfig, changes: str) -> TrainingConfig:
    """Return the configuration with `section.name=value` put in, checked like a file."""
    content: dict[str, Any] = config.model_dump()
    for entry in filter(None, re.split(r",(?![^\[]*\])", changes)):  # not within a list
        name, _, value = entry.partition("=")
        *section, leaf = name.split(".")
        place = content[section[0]] if section else content
        place[leaf] = yaml.safe_load(value)
    return TrainingConfig.model_validate(content)


def cells(
    result: CrossValidation, aucs: NDArray[np.float64], first: NDArray[np.float64], dev: ImageSet
) -> list[str]:
    """Return a row: means with standard errors over folds, then scores.

    Differences are over the folds that both have. One network: the out-of-fold logits of a repeat,
    mean over repeats; its accuracy is the mean over folds, calibrated on the other ones. All: their
    mean over the repeats, an ensemble, calibrated on the same images, as `pooled` in
    metrics/cross_validate.json.
    """
    n_both = min(len(aucs), len(first))
    difference = aucs[:n_both] - first[:n_both]
    n_splits = len(result.folds) // len(result.logits)
    error, paired = (standard_error(values, n_splits) for values in (aucs, difference))
    single = single_auc(result.logits, dev.malignant)
    mean = result.logits.mean(axis=0)
    decision = choose_decision(mean, dev.malignant)
    ensemble = scores(dev.malignant, decision.probability(mean), decision.threshold)
    accuracy = np.mean([row["accuracy"] for row in result.fold_scores])
    return [
        f"{aucs.mean():.3f} ± {error:.3f}", f"{difference.mean():+.3f} ± {paired:.3f}",
        f"{single:.3f}", f"{ensemble['auc']:.3f}", f"{accuracy:.3f}", f"{ensemble['accuracy']:.3f}",
    ]  # fmt: skip


def standard_error(values: NDArray[np.float64], n_splits: int) -> float:
    """Return the corrected standard error of a mean over folds (Nadeau and Bengio 2003).

    Folds share images, so the variance over n folds is not multiplied by 1 / n alone, but by 1 / n
    plus the ratio of scored to learned images, 1 / (n_splits − 1)
    (https://doi.org/10.1023/A:1024068626366). More repeats do not bring it below half the standard
    deviation at five splits.
    """
    return float(values.std(ddof=1) * np.sqrt(1 / len(values) + 1 / (n_splits - 1)))


if __name__ == "__main__":
    main()
