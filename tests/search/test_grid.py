from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import GridSearchParams
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.grid import (
    Candidate,
    apply_setting,
    rank,
    ranking_rows,
    search_grid,
    settings_of,
)

NULLS = dict.fromkeys(
    [
        "stem",
        "input_size",
        "width",
        "dropout",
        "loss",
        "label_smoothing",
        "malignant_weight",
        "weight_decay",
        "lr_multiplier",
    ]
)


def _params(**lists: object) -> GridSearchParams:
    return GridSearchParams.model_validate({"n_folds": 1, "tie": 0.005, **NULLS, **lists})


def test_the_grid_is_the_product_of_the_lists() -> None:
    settings = settings_of(_params(width=[8, 16], loss=["bce", "focal"]))
    assert settings == [
        {"width": width, "loss": loss} for width in (8, 16) for loss in ("bce", "focal")
    ]
    assert settings_of(_params()) == [{}]


def test_every_list_changes_what_it_names_and_nothing_else(config: TrainingConfig) -> None:
    assert apply_setting(config, {}) == config
    pinned = config.model_copy(update={"lr": 0.0012345})
    assert apply_setting(pinned, {"width": 16}).lr == 0.0012345
    values = {
        "stem": "small_strided",
        "input_size": 56,
        "width": 16,
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
    return Candidate({"auc": auc, "flops": flops}, config, (auc,), flops)


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


@dataclass
class Ranking:
    """A learner whose AUC on every fold is what `auc` says of its configuration."""

    dev: ImageSet
    auc: Callable[[TrainingConfig], float]
    runs: list[Run] = field(default_factory=list)

    def __call__(self, runs: list[Run], label: str) -> list[RunResult]:
        self.runs += runs
        return [self._answer(run) for run in runs]

    def _answer(self, run: Run) -> RunResult:
        malignant = self.dev.malignant[run.score]
        # Benign images have the logits 0, 1, …; a malignant one lies above a share `auc` of them.
        logits = np.full(len(malignant), self.auc(run.config) * (~malignant).sum() - 0.5)
        logits[~malignant] = np.arange((~malignant).sum())
        return RunResult(logits.astype(np.float32), np.zeros(1), np.zeros(0))


def test_the_best_setting_comes_first(config: TrainingConfig, dev: ImageSet) -> None:
    execute = Ranking(dev, lambda config: float(config.training.loss == "focal"))
    folds = make_folds(dev.malignant, dev.group, 3, seed=0)[:2]
    ranked = search_grid(config, _params(loss=["bce", "focal"]), folds, dev.malignant, execute)
    assert [scored.name for scored in ranked] == ["focal", "bce"]
    assert [scored.fold_auc for scored in ranked] == [(1.0, 1.0), (0.0, 0.0)]
    assert ranked[0].auc_sd == 0
    assert ranked[0].config.training.loss == "focal"


@pytest.mark.parametrize(("n_folds", "n_first"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
@pytest.mark.parametrize("n_settings", [1, 2, 3, 4, 5, 8])
def test_the_worse_half_stops_after_half_of_the_folds(
    n_settings: int, n_folds: int, n_first: int, config: TrainingConfig, dev: ImageSet
) -> None:
    decays = [i / 10 for i in range(n_settings)]  # the larger, the better
    execute = Ranking(dev, lambda config: config.training.weight_decay)
    folds = make_folds(dev.malignant, dev.group, 5, seed=0)[:n_folds]
    ranked = search_grid(config, _params(weight_decay=decays), folds, dev.malignant, execute)
    assert [scored.setting["weight_decay"] for scored in ranked] == decays[::-1]
    n_kept = max(min(n_settings, 2), (n_settings + 1) // 2)
    reached = [len(scored.fold_auc) for scored in ranked]
    assert reached == [n_folds] * n_kept + [n_first] * (n_settings - n_kept)
    assert len(execute.runs) == sum(reached)
    columns, rows = ranking_rows(ranked)
    assert [row[columns.index("n_folds")] for row in rows] == reached
