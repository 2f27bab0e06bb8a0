"""Compare configurations by repeated grouped cross-validation on dev: what lab notes quote.

    python -m benchmarks.compare model.blocks=[2,2,2,2] training.n_epochs=60,lr=0.001

Each argument is the chosen configuration with changes; the first row is the configuration itself.
Folds and seeds are the same for all, so that differences are paired. Run after `dvc repro`.
"""

import argparse
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation.metrics import auc
from breast_ultrasound.model.training import TrainingConfig, read_config
from breast_ultrasound.params import load_params
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.search.cross_validation import CrossValidation, cross_validate, single_auc
from tests.workspace import ROOT


def main() -> None:
    """Print a table in Markdown, a row a configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("changes", nargs="*", help="name=value,… of the configuration")
    parser.add_argument("--repeats", type=int, default=3, help="of the folds")
    arguments = parser.parse_args()
    params = load_params(ROOT / "params.yaml")
    dev = ImageSet.load(ROOT / "data/processed/dev.npz")
    chosen = read_config(ROOT / "data/chosen.json")
    execute = Executor(dev.images, dev.malignant, find_resources("auto", 0, None))

    def results() -> Iterator[tuple[str, CrossValidation]]:
        n_splits, n_repeats, seed = params.folds.n_splits, arguments.repeats, params.seed
        for changes in ["", *arguments.changes]:
            config = change(chosen, changes)
            result = cross_validate(config, dev, n_splits, n_repeats, seed, execute)
            yield changes or "as chosen", result

    print_table("configuration", results(), dev)


def print_table(what: str, results: Iterable[tuple[str, CrossValidation]], dev: ImageSet) -> None:
    """Print a table in Markdown, a row a name and its cross-validation, as they come.

    Args:
        what: heading of the names.
    """
    print(f"| {what} | AUC of folds | − first row | AUC, one network | AUC, all | accuracy |")
    print("| --- | --- | --- | --- | --- | --- |")
    first: NDArray[np.float64] | None = None
    for name, result in results:
        aucs = np.array([row["auc"] for row in result.fold_scores])
        first = aucs if first is None else first
        print(f"| {name} | {' | '.join(cells(result, aucs, first, dev))} |", flush=True)


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
    """Return a row: means with standard errors over folds, then scores of all images at once.

    One network: the out-of-fold logits of a repeat, mean over repeats. All: their mean over the
    repeats, an ensemble. Accuracy: mean over folds, at the threshold of the other folds.
    """
    error = aucs.std(ddof=1) / np.sqrt(len(aucs))
    difference = aucs - first
    paired = difference.std(ddof=1) / np.sqrt(len(aucs))
    single = single_auc(result.logits, dev.malignant)
    ensemble = auc(dev.malignant, result.logits.mean(axis=0))
    accuracy = np.mean([row["accuracy"] for row in result.fold_scores])
    return [
        f"{aucs.mean():.3f} ± {error:.3f}", f"{difference.mean():+.3f} ± {paired:.3f}",
        f"{single:.3f}", f"{ensemble:.3f}", f"{accuracy:.3f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
