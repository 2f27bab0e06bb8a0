"""The learning rate: Optuna proposes rounds of trials, each scored on grouped folds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import optuna
from numpy.typing import NDArray

from breast_ultrasound.data.folds import Fold
from breast_ultrasound.files import InputError
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import TuneLrParams
from breast_ultrasound.search.fold_runs import Execute, fold_auc, has_diverged, run_on, short

EDGE = 0.05  # of the range's logarithm: a best rate this near to an end may lie beyond it


@dataclass(frozen=True)
class Trial:
    """One learning rate and the AUC of each fold it got to.

    Attributes:
        pruned: stopped early, for it did worse than most finished trials.
        diverged: stopped since its last training diverged, which counts as AUC 0.
    """

    number: int
    lr: float
    fold_auc: tuple[float, ...] = ()
    pruned: bool = False
    diverged: bool = False

    @property
    def auc(self) -> float:
        """Mean AUC over the folds run; 0 for a diverged trial, below any other."""
        return 0.0 if self.diverged else float(np.mean(self.fold_auc))

    @property
    def stopped(self) -> Literal["finished", "pruned", "diverged"]:
        """Why it ran no more folds."""
        if self.diverged:
            return "diverged"
        return "pruned" if self.pruned else "finished"


def tune_learning_rate(
    config: TrainingConfig,
    params: TuneLrParams,
    folds: Sequence[Fold],
    malignant: NDArray[np.bool_],
    seed: int,
    execute: Execute,
) -> list[Trial]:
    """Search the learning rate of best mean fold AUC, on a log scale.

    The first round is spread evenly over the range, so that nothing speaks for its middle; the
    others are proposed by Optuna's TPE (Bergstra et al. 2011). The trials of a round are proposed
    together and run side by side, fold after fold; of the later rounds those stop that do worse
    than most before them. The round's size is fixed, so that the proposals do not depend on the
    number of workers; a search that was killed proposes the same again and finds its runs in the
    cache.

    Args:
        folds: the folds to score on, in this order.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(n_startup_trials=params.round_size, seed=seed),
    )
    for lr in _first_round(params):
        study.enqueue_trial({"lr": lr})
    trials: list[Trial] = []
    for first in range(0, params.n_trials, params.round_size):
        asked = [study.ask() for _ in range(min(params.round_size, params.n_trials - first))]
        rates = [own.suggest_float("lr", params.low, params.high, log=True) for own in asked]
        started = [Trial(own.number, short(lr)) for own, lr in zip(asked, rates, strict=True)]
        done = _run_round(started, asked, trials, config, folds, malignant, execute)
        _tell(study, asked, done)
        trials += done
    return trials


def _first_round(params: TuneLrParams) -> list[float]:
    """Return the centres of equal parts of the range, on a log scale."""
    n = min(params.round_size, params.n_trials)
    return [params.low * (params.high / params.low) ** ((i + 0.5) / n) for i in range(n)]


def _run_round(
    started: Sequence[Trial],
    asked: Sequence[optuna.Trial],
    earlier: Sequence[Trial],
    config: TrainingConfig,
    folds: Sequence[Fold],
    malignant: NDArray[np.bool_],
    execute: Execute,
) -> list[Trial]:
    """Run the trials of one round fold by fold, and report how they go to the study."""
    trials = list(started)
    for step, fold in enumerate(folds):
        going = [i for i, trial in enumerate(trials) if trial.stopped == "finished"]
        if not going:
            break
        runs = [run_on(config.model_copy(update={"lr": trials[i].lr}), fold) for i in going]
        label = f"trials {trials[0].number + 1}–{trials[-1].number + 1}, fold {step + 1}"
        for i, result in zip(going, execute(runs, label), strict=True):
            aucs = (*trials[i].fold_auc, fold_auc(result, fold, malignant))
            trial = replace(trials[i], fold_auc=aucs, diverged=has_diverged(result))
            asked[i].report(trial.auc, step)  # by which TPE ranks trials that stop
            poor = step + 1 < len(folds) and _is_poor(trial, earlier)
            trials[i] = replace(trial, pruned=poor and not trial.diverged)
    return trials


def _tell(study: optuna.Study, asked: Sequence[optuna.Trial], trials: Sequence[Trial]) -> None:
    """Tell the study how the trials of a round ended."""
    for own, trial in zip(asked, trials, strict=True):
        if trial.stopped == "finished":
            study.tell(own, trial.auc)
        else:  # its last report stands for it
            study.tell(own, state=optuna.trial.TrialState.PRUNED)


def _is_poor(trial: Trial, earlier: Sequence[Trial]) -> bool:
    """Whether a trial's mean is below the median of the finished ones' on the same folds.

    The median stopping rule (Golovin et al. 2017, https://doi.org/10.1145/3097983.3098043).
    Optuna's pruner compares a trial's best mean so far, which an easy first fold keeps high.
    """
    n_folds = len(trial.fold_auc)
    means = [np.mean(e.fold_auc[:n_folds]) for e in earlier if e.stopped == "finished"]
    return bool(means) and bool(trial.auc < np.median(means))


def best_trial(trials: Sequence[Trial], params: TuneLrParams) -> Trial:
    """Return the trial to go by: of those within `tie` of the best, the one of median rate.

    Only finished trials count. Of an even number it is the lower of the two in the middle.

    Raises:
        InputError: every trial diverged.
    """
    finished = [trial for trial in trials if trial.stopped == "finished"]
    if not finished:
        raise InputError(
            f"expected a learning rate that trains, got {len(trials)} trials that diverged; "
            f"lower tune_lr.low = {params.low:g} and tune_lr.high = {params.high:g}"
        )
    limit = max(trial.auc for trial in finished) - params.tie
    tied = sorted((t for t in finished if t.auc >= limit), key=lambda trial: trial.lr)
    return tied[(len(tied) - 1) // 2]


def trial_rows(trials: Sequence[Trial]) -> tuple[list[str], list[list[Any]]]:
    """Return a table of the trials: column names, then rows."""
    rows = [[t.number, t.lr, t.auc, len(t.fold_auc), t.stopped] for t in trials]
    return ["trial", "lr", "auc", "n_folds", "stopped"], rows


def divergence_warning(trials: Sequence[Trial]) -> str | None:
    """Say how many trials diverged, if any, and from which rate on."""
    rates = [trial.lr for trial in trials if trial.diverged]
    if not rates:
        return None
    return (
        f"{len(rates)} of {len(trials)} trials diverged, the lowest at the learning rate "
        f"{min(rates):g}; they count as the worst"
    )


def edge_warning(lr: float, params: TuneLrParams) -> str | None:
    """Say so when the best rate lies near an end of the range, where a better one may be beyond."""
    place = np.log(lr / params.low) / np.log(params.high / params.low)
    if EDGE <= place <= 1 - EDGE:
        return None
    name, value = ("low", params.low) if place < 0.5 else ("high", params.high)
    return f"the best learning rate {lr} lies near tune_lr.{name} = {value}: widen the range"


def warnings(trials: Sequence[Trial], lr: float, params: TuneLrParams) -> list[str]:
    """Return what to say of a search: trials that diverged, a best rate near an end."""
    found = divergence_warning(trials), edge_warning(lr, params)
    return [warning for warning in found if warning is not None]
