"""The grid: combinations of the lists under grid_search, by successive halving on grouped folds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.folds import Fold, derive_seed
from breast_ultrasound.files import InputError
from breast_ultrasound.model.resnet import count_flops
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import GridSearchParams, ModelParams, TrainingParams
from breast_ultrasound.search.fold_runs import Execute, fold_auc, has_diverged, run_on, short

DRAW_PATH = (1_000_003,)  # of the seed; final_models.py has those before it
LAST_RUNG = 3
SHORT_NAMES = {
    "input_size": "size",
    "label_smoothing": "smooth",
    "malignant_weight": "weight",
    "dropout": "drop",
    "weight_decay": "decay",
    "lr_multiplier": "lr ×",
}
# What the pairwise loss does not read: settings that differ in nothing else are one.
NOT_OF_PAIRWISE = ("label_smoothing", "malignant_weight")


@dataclass(frozen=True)
class Candidate:
    """A setting and how it did.

    Attributes:
        setting: the values that the grid varies, by name.
        config: the configuration they make.
        flops: floating-point operations of all forward passes of one image in a full training.
        rung: the last one it got to, from 1 to LAST_RUNG; 0 before the first.
        n_epochs: of its trainings in that rung.
        fold_auc: AUC on each fold in that rung.
        diverged: it stopped since a training diverged, which counts as AUC 0.
    """

    setting: dict[str, Any]
    config: TrainingConfig
    flops: int
    rung: int = 0
    n_epochs: int = 0
    fold_auc: tuple[float, ...] = ()
    diverged: bool = False

    @property
    def name(self) -> str:
        """The setting in words: `width 32, bce`, short enough for the labels of DVC's plots."""
        words = (
            str(value)
            if isinstance(value, str)
            else f"{SHORT_NAMES.get(name, name)} {_text(value)}"
            for name, value in self.setting.items()
        )
        return ", ".join(words) or "as given"

    @property
    def auc(self) -> float:
        """Mean AUC over the folds; 0 for a diverged setting, below any other."""
        return 0.0 if self.diverged else float(np.mean(self.fold_auc))

    @property
    def auc_sd(self) -> float:
        """Sample standard deviation of the AUC over the folds; 0 for one fold."""
        return float(np.std(self.fold_auc, ddof=1)) if len(self.fold_auc) > 1 else 0.0

    @property
    def stopped(self) -> str:
        """Where it stopped: `rung 1`, `rung 2`, `finalist` or `diverged`."""
        if self.diverged:
            return "diverged"
        return "finalist" if self.rung == LAST_RUNG else f"rung {self.rung}"


@dataclass(frozen=True)
class Rung:
    """How long the settings that got here train, and on how many folds."""

    number: int
    n_folds: int
    n_epochs: int


def _text(value: Any) -> Any:
    """Return a value as DVC can show and compare it: blocks as `0-1-1-1`, others as they are."""
    return "-".join(map(str, value)) if isinstance(value, list) else value


def settings_of(params: GridSearchParams, loss: str, seed: int) -> list[dict[str, Any]]:
    """Return the combinations of the lists, in their order; one empty setting where all are null.

    Of more than `max_settings` as many are drawn by seed, which finds as good ones as a full grid
    of the same cost (Bergstra and Bengio 2012, https://jmlr.org/papers/v13/bergstra12a.html). A
    larger `max_settings` draws the same and more.

    Args:
        loss: of settings that name none.
    """
    lists = {
        name: values for name, values in params.model_dump().items() if isinstance(values, list)
    }
    settings: dict[str, dict[str, Any]] = {}
    for values in product(*lists.values()):
        setting = dict(zip(lists, values, strict=True))
        if setting.get("loss", loss) == "pairwise_auc":
            setting = {k: value for k, value in setting.items() if k not in NOT_OF_PAIRWISE}
        settings[str(setting)] = setting
    different = list(settings.values())
    drawn = np.random.default_rng(derive_seed(seed, *DRAW_PATH)).permutation(len(different))
    return [different[i] for i in sorted(drawn[: params.max_settings])]


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
    side: int,
    seed: int,
    execute: Execute,
) -> list[Candidate]:
    """Score all settings a little, the better ones more, and the best on all folds.

    Successive halving (Karnin et al. 2013, https://proceedings.mlr.press/v28/karnin13.html;
    Jamieson and Talwalkar 2016, https://arxiv.org/abs/1502.07943): after each rung 1 in
    `reduction` goes on, but at least two, since a choice between two is worth every fold
    (docs/lab-notes.md). Settings that diverge never go on.

    Args:
        folds: those of the last rung, in this order.
        side: pixels, of the images.

    Returns:
        all settings, the chosen one first, see `rank`.
    """
    settings = settings_of(params, config.training.loss, seed)
    going = [_candidate(config, setting, side) for setting in settings]
    stopped: list[Candidate] = []
    *first, last = _rungs(params.first_epochs, config.training.n_epochs, len(folds))
    for rung in first:
        if len(going) > 2:
            scored = _score_on(going, rung, folds, malignant, execute)
            n_kept = max(2, math.ceil(len(scored) / params.reduction))
            going = [s for s in _by_auc(scored) if not s.diverged][:n_kept]
            stopped += [s for s in scored if s not in going]
    finalists = _score_on(going, last, folds, malignant, execute) if going else []
    return rank([*finalists, *stopped], params.tie)


def _candidate(config: TrainingConfig, setting: dict[str, Any], side: int) -> Candidate:
    own = apply_setting(config, setting)
    return Candidate(setting, own, count_flops(own.model, side) * own.training.n_epochs)


def _rungs(first_epochs: int, n_epochs: int, n_folds: int) -> list[Rung]:
    """Return the rungs: short trainings on one fold, full ones on two, and full ones on all.

    One that costs no less than the last is left out.
    """
    last = Rung(LAST_RUNG, n_folds, n_epochs)
    before = Rung(1, 1, min(first_epochs, n_epochs)), Rung(2, 2, n_epochs)
    return [*(r for r in before if (r.n_epochs, r.n_folds) < (n_epochs, n_folds)), last]


def _score_on(
    candidates: Sequence[Candidate],
    rung: Rung,
    folds: Sequence[Fold],
    malignant: NDArray[np.bool_],
    execute: Execute,
) -> list[Candidate]:
    """Return the settings with the AUCs of a rung; folds trained as long before keep theirs."""
    done = [s.fold_auc if s.n_epochs == rung.n_epochs else () for s in candidates]
    todo = [folds[len(aucs) : rung.n_folds] for aucs in done]
    runs = [
        run_on(_with_epochs(s.config, rung.n_epochs), fold)
        for s, own in zip(candidates, todo, strict=True)
        for fold in own
    ]
    results = iter(execute(runs, f"{len(candidates)} settings, rung {rung.number}"))
    scored = []
    for candidate, aucs, own in zip(candidates, done, todo, strict=True):
        new = [next(results) for _ in own]
        more = (fold_auc(result, fold, malignant) for result, fold in zip(new, own, strict=True))
        scored.append(
            replace(
                candidate,
                rung=rung.number,
                n_epochs=rung.n_epochs,
                fold_auc=(*aucs, *more),
                diverged=any(map(has_diverged, new)),
            )
        )
    return scored


def _with_epochs(config: TrainingConfig, n_epochs: int) -> TrainingConfig:
    training = config.training.model_copy(update={"n_epochs": n_epochs})
    return config.model_copy(update={"training": training})


def _by_auc(scored: Sequence[Candidate]) -> list[Candidate]:
    return sorted(scored, key=lambda s: -s.auc)


def rank(scored: Sequence[Candidate], tie: float) -> list[Candidate]:
    """Order settings: the chosen one, the other finalists, those that stopped, those that diverged.

    The chosen one is the cheapest finalist whose AUC is within `tie` of the best; of equally cheap
    ones the better, then the earlier in the grid. Others go by how far they got, then by AUC.

    Raises:
        InputError: no finalist is left that did not diverge.
    """
    ordered = sorted(_by_auc(scored), key=lambda s: (s.diverged, -s.rung))
    finalists = [s for s in ordered if s.stopped == "finalist"]
    if not finalists:
        raise InputError(
            f"expected a setting that trains, got {len(scored)} of which those of the last rung "
            "diverged; lower lr, or tune_lr.high, which leads to it"
        )
    winner = min((s for s in finalists if s.auc >= finalists[0].auc - tie), key=lambda s: s.flops)
    return [winner, *(s for s in ordered if s is not winner)]


def divergence_warning(ranked: Sequence[Candidate]) -> str | None:
    """Say how many settings diverged, if any."""
    n_diverged = sum(s.diverged for s in ranked)
    if not n_diverged:
        return None
    return f"{n_diverged} of {len(ranked)} settings diverged; they count as the worst"


def summarise(ranked: Sequence[Candidate]) -> dict[str, Any]:
    """Return the content of metrics/grid_search.json."""
    best = ranked[0]
    return {
        "auc": best.auc,
        "auc_sd": best.auc_sd,
        "n_settings": len(ranked),
        "n_finalists": sum(s.stopped == "finalist" for s in ranked),
        "n_diverged": sum(s.diverged for s in ranked),
        "chosen": {name: _text(value) for name, value in best.setting.items()},
    }


def ranking_rows(ranked: Sequence[Candidate]) -> tuple[list[str], list[list[Any]]]:
    """Return a table of the settings, the chosen one first: column names, then rows.

    The last columns are the values that the grid varies; one that a loss does not read is empty.
    """
    varied = list(dict.fromkeys(name for s in ranked for name in s.setting))
    rows = [
        [
            *(s.name, s.stopped, s.auc, s.auc_sd, len(s.fold_auc), s.n_epochs, s.flops),
            *(_text(s.setting.get(name, "")) for name in varied),
        ]
        for s in ranked
    ]
    return ["setting", "stopped", "auc", "auc_sd", "n_folds", "n_epochs", "flops", *varied], rows
