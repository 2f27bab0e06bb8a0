"""The learning rate: Optuna proposes rounds of trials, each scored on grouped folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from breast_ultrasound.data.folds import Fold
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import TuneLrParams
from breast_ultrasound.search.fold_runs import Execute, fold_auc, run_on, short

EDGE = 0.05  # of the range's logarithm: a best rate this near to an end may lie beyond it


@dataclass(frozen=True)
class Trial:
    """One learning rate and the AUC of each fold it got to; a pruned trial stopped early."""

    number: int
    lr: float
    fold_auc: tuple[float, ...]
    pruned: bool

    @property
    def auc(self) -> float:
        """Mean AUC over the folds run."""
        return float(np.mean(self.fold_auc))


def tune_learning_rate(
    config: TrainingConfig,
    params: TuneLrParams,
    folds: Sequence[Fold],
    malignant: NDArray[np.bool_],
    seed: int,
    execute: Execute,
) -> list[Trial]:
    """Search the learning rate of best mean fold AUC, on a log scale.

    The trials of a round are proposed together and run side by side, fold after fold. After the
    first round a trial stops, on its second fold at the earliest, whose best mean so far is below
    the median of the finished ones' at the same fold (Optuna's median pruner). The round's size is
    fixed, so that the proposals do not depend on the number of workers; a search that was killed
    proposes the same again and finds its runs in the cache.

    Args:
        folds: the folds to score on, in this order.
        execute: carries out runs.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(n_startup_trials=params.round_size, seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=params.round_size, n_warmup_steps=1),
    )
    # The middle of the range is the best guess before anything is known.
    study.enqueue_trial({"lr": float(np.sqrt(params.low * params.high))})
    trials: list[Trial] = []
    for first in range(0, params.n_trials, params.round_size):
        asked = [study.ask() for _ in range(min(params.round_size, params.n_trials - first))]
        trials += _run_round(study, asked, config, params, folds, malignant, execute)
    return trials


def _run_round(
    study: optuna.Study,
    asked: Sequence[optuna.Trial],
    config: TrainingConfig,
    params: TuneLrParams,
    folds: Sequence[Fold],
    malignant: NDArray[np.bool_],
    execute: Execute,
) -> list[Trial]:
    """Run the trials of one round fold by fold, and tell the study how they went."""
    rates = [short(trial.suggest_float("lr", params.low, params.high, log=True)) for trial in asked]
    aucs: list[list[float]] = [[] for _ in asked]
    going = list(range(len(asked)))
    for step, fold in enumerate(folds):
        if not going:
            break
        runs = [run_on(config.model_copy(update={"lr": rates[i]}), fold) for i in going]
        label = f"trials {asked[0].number + 1}–{asked[-1].number + 1}, fold {step + 1}"
        for i, result in zip(going, execute(runs, label), strict=True):
            aucs[i].append(fold_auc(result, fold, malignant))
            asked[i].report(float(np.mean(aucs[i])), step)
        if step + 1 < len(folds):
            going = [i for i in going if not asked[i].should_prune()]
    trials = []
    for i, trial in enumerate(asked):
        pruned = len(aucs[i]) < len(folds)
        if pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, float(np.mean(aucs[i])))
        trials.append(Trial(trial.number, rates[i], tuple(aucs[i]), pruned))
    return trials


def best_trial(trials: Sequence[Trial], params: TuneLrParams) -> Trial:
    """Return the finished trial of best AUC; of those within `tie` of it the most central rate."""
    finished = [trial for trial in trials if not trial.pruned]
    limit = max(trial.auc for trial in finished) - params.tie
    tied = [trial for trial in finished if trial.auc >= limit]
    return min(tied, key=lambda trial: abs(np.log(trial.lr**2 / (params.low * params.high))))


def trial_rows(trials: Sequence[Trial]) -> tuple[list[str], list[list[Any]]]:
    """Return a table of the trials: column names, then rows."""
    rows = [[t.number, t.lr, t.auc, len(t.fold_auc), int(t.pruned)] for t in trials]
    return ["trial", "lr", "auc", "n_folds", "pruned"], rows


def edge_warning(lr: float, params: TuneLrParams) -> str | None:
    """Say so when the best rate lies near an end of the range, where a better one may be beyond."""
    place = np.log(lr / params.low) / np.log(params.high / params.low)
    if EDGE <= place <= 1 - EDGE:
        return None
    name, value = ("low", params.low) if place < 0.5 else ("high", params.high)
    return f"the best learning rate {lr} lies near tune_lr.{name} = {value}: widen the range"
