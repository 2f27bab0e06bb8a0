"""The grid: every combination of the lists under grid_search, scored on grouped folds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import SIDE
from breast_ultrasound.data.folds import Fold
from breast_ultrasound.model.resnet import count_flops
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import GridSearchParams, ModelParams, TrainingParams
from breast_ultrasound.search.fold_runs import Execute, fold_auc, run_on, short

SHORT_NAMES = {
    "input_size": "size",
    "label_smoothing": "smooth",
    "malignant_weight": "weight",
    "weight_decay": "decay",
    "lr_multiplier": "lr ×",
}


@dataclass(frozen=True)
class Candidate:
    """A setting and how it did.

    Attributes:
        setting: the values that the grid varies, by name.
        config: the configuration they make.
        fold_auc: AUC on each fold that it got to.
        flops: floating-point operations of all forward passes of one image in a training.
    """

    setting: dict[str, Any]
    config: TrainingConfig
    fold_auc: tuple[float, ...]
    flops: int

    @property
    def name(self) -> str:
        """The setting in words: `width 32, bce`, short enough for the labels of DVC's plots."""
        words = (
            str(value) if isinstance(value, str) else f"{SHORT_NAMES.get(name, name)} {value}"
            for name, value in self.setting.items()
        )
        return ", ".join(words) or "as given"

    @property
    def auc(self) -> float:
        """Mean AUC over the folds."""
        return float(np.mean(self.fold_auc))

    @property
    def auc_sd(self) -> float:
        """Sample standard deviation of the AUC over the folds; 0 for one fold."""
        return float(np.std(self.fold_auc, ddof=1)) if len(self.fold_auc) > 1 else 0.0


def settings_of(params: GridSearchParams) -> list[dict[str, Any]]:
    """Return the product of the lists, in their order; one empty setting where all are null."""
    lists = {
        name: values
        for name, values in params.model_dump(exclude={"n_folds", "tie"}).items()
        if values is not None
    }
    return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]


def apply_setting(config: TrainingConfig, setting: dict[str, Any]) -> TrainingConfig:
    """Return the configuration with a setting's values in place."""

    def of(section: type[ModelParams] | type[TrainingParams]) -> dict[str, Any]:
        return {name: value for name, value in setting.items() if name in section.model_fields}

    return config.model_copy(
        update={
            "lr": _multiplied(config.lr, setting.get("lr_multiplier")),
            "model": config.model.model_copy(update=of(ModelParams)),
            "training": config.training.model_copy(update=of(TrainingParams)),
        }
    )


def _multiplied(lr: float, factor: float | None) -> float:
    """Return a learning rate of few digits; without a factor as given, all of its digits."""
    return lr if factor is None else short(lr * factor)


def search_grid(
    config: TrainingConfig,
    params: GridSearchParams,
    folds: Sequence[Fold],
    malignant: NDArray[np.bool_],
    execute: Execute,
) -> list[Candidate]:
    """Score every setting on half of the folds, and the better half of them on all.

    A round of successive halving (Jamieson and Talwalkar 2016, https://arxiv.org/abs/1502.07943).
    At least two settings go on: a choice between two is worth every fold (docs/lab-notes.md). The
    best comes first, see `rank`; those that stopped come last.
    """
    scored = []
    for setting in settings_of(params):
        candidate = apply_setting(config, setting)
        flops = count_flops(candidate.model, SIDE) * candidate.training.n_epochs
        scored.append(Candidate(setting, candidate, (), flops))
    n_first = math.ceil(len(folds) / 2)
    scored = _score_on(scored, folds[:n_first], malignant, execute)
    scored.sort(key=lambda s: -s.auc)
    n_kept = max(2, math.ceil(len(scored) / 2))
    kept, stopped = scored[:n_kept], scored[n_kept:]
    if n_first < len(folds):
        kept = _score_on(kept, folds[n_first:], malignant, execute)
    return [*rank(kept, params.tie), *stopped]


def _score_on(
    scored: Sequence[Candidate],
    folds: Sequence[Fold],
    malignant: NDArray[np.bool_],
    execute: Execute,
) -> list[Candidate]:
    """Return the settings with the AUCs of more folds."""
    runs = [run_on(s.config, fold) for s in scored for fold in folds]
    numbers = ", ".join(str(fold.number + 1) for fold in folds)
    results = iter(execute(runs, f"{len(scored)} settings, folds {numbers}"))
    more = [tuple(fold_auc(next(results), fold, malignant) for fold in folds) for _ in scored]
    return [replace(s, fold_auc=s.fold_auc + aucs) for s, aucs in zip(scored, more, strict=True)]


def rank(scored: Sequence[Candidate], tie: float) -> list[Candidate]:
    """Order settings by AUC, the best first, after moving the winner to the front.

    The winner is the cheapest setting whose AUC is within `tie` of the best; of equally cheap
    ones the better, then the earlier in the grid.
    """
    ordered = sorted(scored, key=lambda s: -s.auc)
    tied = [s for s in ordered if s.auc >= ordered[0].auc - tie]
    winner = min(tied, key=lambda s: s.flops)
    return [winner, *(s for s in ordered if s is not winner)]


def summarise(ranked: Sequence[Candidate]) -> dict[str, Any]:
    """Return the content of metrics/grid_search.json."""
    best = ranked[0]
    return {
        "auc": best.auc,
        "auc_sd": best.auc_sd,
        "n_settings": len(ranked),
        "chosen": best.setting,
    }


def ranking_rows(ranked: Sequence[Candidate]) -> tuple[list[str], list[list[Any]]]:
    """Return a table of the settings, the chosen one first: column names, then rows."""
    rows = [[s.name, s.auc, s.auc_sd, len(s.fold_auc), s.flops] for s in ranked]
    return ["setting", "auc", "auc_sd", "n_folds", "flops"], rows
