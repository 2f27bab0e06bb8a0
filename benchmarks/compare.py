"""Compare configurations by repeated grouped cross-validation on dev: what lab notes quote.

    python -m benchmarks.compare model.blocks=[2,2,2,2] training.n_epochs=60,lr=0.001 --repeats 6

Each argument is the chosen configuration with changes. The first row is the configuration itself.
Folds and seeds are the same for all, so that differences are paired. Run after `dvc repro`.
"""

import argparse
import re
from typing import Any

import yaml

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model.training import TrainingConfig, read_config
from breast_ultrasound.params import load_params
from breast_ultrasound.runs.execute import Executor, find_resources
from breast_ultrasound.search.comparison import comparison_row
from breast_ultrasound.search.cross_validation import CrossValidation, cross_validate
from tools.workspace import ROOT

COLUMNS = (
    ("AUC of folds", "{fold_auc:.3f} ± {fold_auc_se:.3f}"),
    ("− first row", "{minus_first:+.3f} [{minus_first_low:+.3f}, {minus_first_high:+.3f}]"),
    ("AUC, one", "{single_auc:.3f}"),
    ("AUC, all", "{ensemble_auc:.3f}"),
    ("accuracy, one", "{accuracy:.3f}"),
    ("accuracy, all", "{ensemble_accuracy:.3f}"),
)


def main() -> None:
    """Print a table in Markdown, one row per configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("changes", nargs="*", help="name=value,… of the configuration")
    parser.add_argument("--repeats", type=int, default=3, help="of the folds")
    arguments = parser.parse_args()
    dev = ImageSet.load(ROOT / "data/processed/dev.npz")
    also_train = ImageSet.load(ROOT / "data/processed/also_train.npz", may_be_empty=True)
    params, chosen = load_params(ROOT / "params.yaml"), read_config(ROOT / "data/chosen.json")
    print(f"| configuration | {' | '.join(head for head, _ in COLUMNS)} |")
    print("| --- " * (1 + len(COLUMNS)) + "|")
    first: CrossValidation | None = None
    for changes in ["", *arguments.changes]:
        config = change(chosen, changes)
        arithmetic = config.training.arithmetic
        resources = find_resources("auto", arithmetic, 0, None)
        execute = Executor(dev.images, dev.malignant, resources, arithmetic, also_train)
        n_splits, seed = params.folds.n_splits, params.seed
        result = cross_validate(config, dev, n_splits, arguments.repeats, seed, execute)
        first = first or result
        row = comparison_row(result, first, dev)
        cells = [text.format(**row) for _, text in COLUMNS]
        print(f"| {changes or 'as chosen'} | {' | '.join(cells)} |", flush=True)


def change(config: TrainingConfig, changes: str) -> TrainingConfig:
    """Return the configuration with `section.name=value` put in, checked like a file."""
    content: dict[str, Any] = config.model_dump()
    for entry in filter(None, re.split(r",(?![^\[]*\])", changes)):  # not within a list
        name, _, value = entry.partition("=")
        *section, leaf = name.split(".")
        place = content[section[0]] if section else content
        place[leaf] = yaml.safe_load(value)
    return TrainingConfig.model_validate(content)


if __name__ == "__main__":
    main()
