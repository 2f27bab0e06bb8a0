from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from breast_ultrasound.data.folds import Fold, make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import GridSearchParams
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.grid import (
    Candidate,
    apply_setting,
    divergence_warning,
    rank,
    ranking_rows,
    search_grid,
    settings_of,
    summarise,
)
from tools.workspace import shipped_params

HOW = {"max_settings": 100, "first_epochs": 2, "reduction": 3, "n_folds": 1, "tie": 0.005}
NULLS = dict.fromkeys(
    [
        "stem",
        "width",
        "blocks",
        "input_size",
        "loss",
        "label_smoothing",
        "malignant_weight",
        "dropout",
        "weight_decay",
        "lr_multiplier",
    ]
)


def _params(**values: object) -> GridSearchParams:
    return GridSearchParams.model_validate({**HOW, **NULLS, **values})


def test_the_grid_is_the_product_of_the_lists() -> None:
    blocks = [[0, 1, 1, 1], [1, 1, 1, 1]]
    settings = settings_of(_params(width=[8, 16], blocks=blocks), "bce", seed=0)
    assert settings == [{"width": width, "blocks": own} for width in (8, 16) for own in blocks]
    assert settings_of(_params(), "bce", seed=0) == [{}]


def test_settings_that_the_pairwise_loss_does_not_tell_apart_are_one() -> None:
    lists = {"label_smoothing": [0.0, 0.1], "malignant_weight": [1.0, 2.0], "dropout": [0.0, 0.5]}
    settings = settings_of(_params(loss=["bce", "pairwise_auc"], **lists), "bce", seed=0)
    pairwise = [setting for setting in settings if setting["loss"] == "pairwise_auc"]
    assert pairwise == [{"loss": "pairwise_auc", "dropout": dropout} for dropout in (0.0, 0.5)]
    assert len(settings) - len(pairwise) == 8
    assert settings_of(_params(**lists), "pairwise_auc", seed=0) == [
        {"dropout": 0.0},
        {"dropout": 0.5},
    ]


def test_of_many_settings_as_many_as_allowed_are_drawn_by_seed() -> None:
    lists = {"width": [8, 16, 24], "weight_decay": [0.0, 0.1, 0.2], "loss": ["bce", "focal"]}
    everything = settings_of(_params(**lists), "bce", seed=0)

    def drawn(n: int, seed: int) -> list[dict[str, Any]]:
        return settings_of(_params(**lists, max_settings=n), "bce", seed)

    assert len(everything) == 18
    assert [len(drawn(n, 0)) for n in (1, 5, 18, 100)] == [1, 5, 18, 18]
    assert drawn(5, 0) == drawn(5, 0) != drawn(5, 1)
    for setting in drawn(5, 0):  # a larger budget trains no setting in vain
        assert setting in drawn(9, 0)
    places = [everything.index(setting) for setting in drawn(9, 0)]
    assert places == sorted(places)


def test_the_shipped_grid_is_as_large_as_promised(config: TrainingConfig) -> None:
    params = GridSearchParams.model_validate(shipped_params()["grid_search"])
    settings = settings_of(params, "bce", seed=0)
    assert len(settings) >= 24
    for names in (("stem", "width", "blocks"), ("loss",), ("dropout", "weight_decay")):
        assert any(len({str(s.get(name)) for s in settings}) > 1 for name in names)
    assert {"bce", "focal", "pairwise_auc"} == {setting["loss"] for setting in settings}
    configs = [apply_setting(config, setting) for setting in settings]
    assert all(config not in configs[:i] for i, config in enumerate(configs))


def test_every_list_changes_what_it_names_and_nothing_else(config: TrainingConfig) -> None:
    assert apply_setting(config, {}) == config
    pinned = config.model_copy(update={"lr": 0.0012345})
    assert apply_setting(pinned, {"width": 16}).lr == 0.0012345
    values = {
        "stem": "small_strided",
        "input_size": 56,
        "width": 16,
        "blocks": [1, 1, 1, 1],
        "dropout": 0.5,
        "loss": "focal",
        "label_smoothing": 0.3,
        "malignant_weight": 2.0,
        "weight_decay": 0.5,
        "lr_multiplier": 2.0,
    }
    assert values.keys() == NULLS.keys()
    before = config.model_dump()
    for name, value in values.items():
        after = apply_setting(config, {name: value}).model_dump()
        changed = {
            key
            for section in ("model", "training", "augment")
            for key in before[section]
            if before[section][key] != after[section][key]
        }
        if name == "lr_multiplier":
            assert after["lr"] == 2 * before["lr"]
            assert not changed
        else:
            assert changed == {name}


def _scored(auc: float, flops: int, config: TrainingConfig) -> Candidate:
    return Candidate({"auc": auc, "flops": flops}, config, flops, 3, 1, (auc,))


@pytest.mark.parametrize(
    ("rows", "winner"),
    [
        ([(0.80, 5), (0.85, 9)], (0.85, 9)),
        ([(0.847, 5), (0.85, 9)], (0.847, 5)),  # within 0.005: the cheaper
        ([(0.847, 5), (0.848, 5), (0.85, 9)], (0.848, 5)),  # equally cheap: the better
        ([(0.80, 5), (0.80, 5)], (0.80, 5)),
    ],
)
def test_ties_go_to_the_cheaper(
    rows: list[tuple[float, int]], winner: tuple[float, int], config: TrainingConfig
) -> None:
    ranked = rank([_scored(auc, flops, config) for auc, flops in rows], tie=0.005)
    assert (ranked[0].auc, ranked[0].flops) == winner
    assert len(ranked) == len(rows)
    others = [scored.auc for scored in ranked[1:]]
    assert others == sorted(others, reverse=True)


def test_others_are_ranked_by_how_far_they_got(config: TrainingConfig) -> None:
    def at(rung: int, auc: float, diverged: bool = False) -> Candidate:
        return replace(_scored(auc, 1, config), rung=rung, diverged=diverged)

    ranked = [
        at(3, 0.7),
        at(3, 0.6),
        at(2, 0.9),
        at(2, 0.8),
        at(1, 0.99),
        at(1, 0.5),
        at(3, 0.95, diverged=True),
        at(1, 0.95, diverged=True),
    ]
    assert rank(ranked[::-1], tie=0.005) == ranked
    columns, rows = ranking_rows(ranked)
    stopped = [row[columns.index("stopped")] for row in rows]
    assert stopped == [*["finalist"] * 2, *["rung 2"] * 2, *["rung 1"] * 2, *["diverged"] * 2]
    assert [row[columns.index("auc")] for row in rows[-2:]] == [0, 0]


@dataclass
class Ranking:
    """A learner whose AUC on every fold is what `auc` says of its configuration; NaN diverges."""

    dev: ImageSet
    auc: Callable[[TrainingConfig], float]
    runs: list[Run] = field(default_factory=list)

    def __call__(self, runs: list[Run], label: str) -> list[RunResult]:
        self.runs += runs
        return [self._result_of(run) for run in runs]

    def _result_of(self, run: Run) -> RunResult:
        malignant = self.dev.malignant[run.score]
        # Benign images have the logits 0, 1, …; a malignant one lies above a share `auc` of them.
        logits = np.full(len(malignant), self.auc(run.config) * (~malignant).sum() - 0.5)
        logits[~malignant] = np.arange((~malignant).sum())
        if np.isnan(self.auc(run.config)):
            logits *= np.nan
        return RunResult(logits.astype(np.float32), np.zeros(1), np.zeros(0))


@pytest.fixture
def five(dev: ImageSet) -> list[Fold]:
    return make_folds(dev.malignant, dev.group, 5, seed=0)


@pytest.fixture
def config(config: TrainingConfig) -> TrainingConfig:
    training = config.training.model_copy(update={"n_epochs": 6})
    return config.model_copy(update={"training": training})


def _by_decay(config: TrainingConfig) -> float:
    return config.training.weight_decay  # the larger, the better


def _decays(n: int) -> list[float]:
    return [round(i / n, 3) for i in range(n)]


def test_the_best_setting_comes_first(
    config: TrainingConfig, dev: ImageSet, five: list[Fold]
) -> None:
    execute = Ranking(dev, lambda config: float(config.training.loss == "focal"))
    params = _params(loss=["bce", "focal"])
    ranked = search_grid(config, params, five[:2], dev.malignant, 28, 0, execute)
    assert [scored.name for scored in ranked] == ["focal", "bce"]
    assert [scored.fold_auc for scored in ranked] == [(1.0, 1.0), (0.0, 0.0)]
    assert ranked[0].auc_sd == 0
    assert ranked[0].config.training.loss == "focal"
    assert {run.config.training.n_epochs for run in execute.runs} == {
        6
    }  # two go to the end at once


@pytest.mark.parametrize(
    ("n_settings", "reduction", "reached"),
    [
        (1, 3, [1, 0, 0]),
        (2, 3, [2, 0, 0]),
        (3, 3, [2, 0, 1]),
        (9, 3, [2, 1, 6]),
        (12, 3, [2, 2, 8]),
        (8, 2, [2, 2, 4]),
        (12, 10, [2, 0, 10]),
    ],
)
def test_one_in_so_many_goes_on_after_each_rung(
    n_settings: int,
    reduction: int,
    reached: list[int],
    config: TrainingConfig,
    dev: ImageSet,
    five: list[Fold],
) -> None:
    execute = Ranking(dev, _by_decay)
    params = _params(weight_decay=_decays(n_settings), reduction=reduction)
    ranked = search_grid(config, params, five, dev.malignant, 28, 0, execute)
    assert [s.setting["weight_decay"] for s in ranked] == sorted(_decays(n_settings))[::-1]
    assert [sum(s.rung == rung for s in ranked) for rung in (3, 2, 1)] == reached
    for s in ranked:
        assert (len(s.fold_auc), s.n_epochs) == {3: (5, 6), 2: (2, 6), 1: (1, 2)}[s.rung]
    summary = summarise(ranked)
    assert (summary["n_settings"], summary["n_finalists"]) == (n_settings, reached[0])


def test_the_last_rung_goes_on_from_the_second(
    config: TrainingConfig, dev: ImageSet, five: list[Fold]
) -> None:
    """No training is asked for twice, and finalists have those of the second rung."""
    execute = Ranking(dev, _by_decay)
    params = _params(weight_decay=_decays(12))
    ranked = search_grid(config, params, five, dev.malignant, 28, 0, execute)
    asked = [
        (r.config.training.weight_decay, r.config.training.n_epochs, r.seed) for r in execute.runs
    ]
    assert len(set(asked)) == len(asked) == 12 + 4 * 2 + 2 * 3
    for s in ranked[:2]:
        own = {seed for decay, n, seed in asked if (decay, n) == (s.setting["weight_decay"], 6)}
        assert own == {fold.seed for fold in five}
        assert s.fold_auc == pytest.approx([s.auc] * 5, abs=0.1)
        assert s.config.training.n_epochs == 6  # the chosen one trains in full


@pytest.mark.parametrize(
    ("n_folds", "first_epochs", "lengths"),
    [
        (1, 2, {(1, 2), (1, 6)}),
        (1, 6, {(1, 6)}),
        (2, 9, {(1, 6), (2, 6)}),
        (2, 2, {(1, 2), (2, 6)}),
        (3, 6, {(1, 6), (2, 6), (3, 6)}),
    ],
)
def test_no_rung_costs_as_much_as_the_last(
    n_folds: int,
    first_epochs: int,
    lengths: set[tuple[int, int]],
    config: TrainingConfig,
    dev: ImageSet,
    five: list[Fold],
) -> None:
    execute = Ranking(dev, _by_decay)
    params = _params(weight_decay=_decays(9), first_epochs=first_epochs)
    ranked = search_grid(config, params, five[:n_folds], dev.malignant, 28, 0, execute)
    assert {(len(s.fold_auc), s.n_epochs) for s in ranked} == lengths
    assert len({(str(r.config), r.seed) for r in execute.runs}) == len(execute.runs)


def test_a_diverged_setting_comes_last_and_goes_no_further(
    config: TrainingConfig, dev: ImageSet, five: list[Fold]
) -> None:
    """Whether in its short training, in the second rung or in the last."""

    def auc(config: TrainingConfig) -> float:
        decay, n_epochs = config.training.weight_decay, config.training.n_epochs
        return np.nan if decay == 0.9 or (decay == 0.8 and n_epochs == 6) else decay

    execute = Ranking(dev, auc)
    params = _params(weight_decay=[0.9, 0.8, *_decays(7)], reduction=2)
    ranked = search_grid(config, params, five, dev.malignant, 28, 0, execute)
    assert [s.setting["weight_decay"] for s in ranked[-2:]] == [0.8, 0.9]
    assert [(s.stopped, s.rung, s.auc) for s in ranked[-2:]] == [
        ("diverged", 2, 0),
        ("diverged", 1, 0),
    ]
    assert ranked[0].setting["weight_decay"] == max(_decays(7))
    assert sum(run.config.training.weight_decay == 0.9 for run in execute.runs) == 1
    assert summarise(ranked)["n_diverged"] == 2
    assert divergence_warning(ranked) == "2 of 9 settings diverged; they count as the worst"
    assert divergence_warning(ranked[:-2]) is None


@pytest.mark.parametrize("n_settings", [1, 2, 9])
def test_only_when_all_diverge_it_is_an_error(
    n_settings: int, config: TrainingConfig, dev: ImageSet, five: list[Fold]
) -> None:
    params = _params(weight_decay=_decays(n_settings))
    with pytest.raises(InputError, match=r"expected a setting that trains"):
        search_grid(config, params, five, dev.malignant, 28, 0, Ranking(dev, lambda _: np.nan))


def test_blocks_are_words_in_metrics_and_tables(
    config: TrainingConfig, dev: ImageSet, five: list[Fold]
) -> None:
    params = _params(blocks=[[0, 1, 1, 1]], loss=["bce", "pairwise_auc"], label_smoothing=[0.1])
    execute = Ranking(dev, lambda config: float(config.training.loss == "bce"))
    ranked = search_grid(config, params, five, dev.malignant, 28, 0, execute)
    best = {"blocks": "0-1-1-1", "loss": "bce", "label_smoothing": 0.1}
    assert summarise(ranked)["chosen"] == best
    columns, rows = ranking_rows(ranked)
    assert [row[0] for row in rows] == [
        "blocks 0-1-1-1, bce, smooth 0.1",
        "blocks 0-1-1-1, pairwise_auc",
    ]
    assert columns[-3:] == list(best)
    assert [row[-3:] for row in rows] == [list(best.values()), ["0-1-1-1", "pairwise_auc", ""]]
