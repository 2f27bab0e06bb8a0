import numpy as np
import pytest

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import GridSearchParams
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.grid import (
    Scored,
    apply_setting,
    rank,
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


def _scored(auc: float, flops: int, config: TrainingConfig) -> Scored:
    return Scored({"auc": auc, "flops": flops}, config, (auc,), flops)


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


def test_the_best_setting_comes_first(config: TrainingConfig, dev: ImageSet) -> None:
    def execute(runs: list[Run], label: str) -> list[RunResult]:
        """Focal ranks perfectly, everything else backwards."""
        sign = [1 if run.config.training.loss == "focal" else -1 for run in runs]
        return [
            RunResult((s * dev.malignant[run.score]).astype(np.float32), np.zeros(1), np.zeros(0))
            for s, run in zip(sign, runs, strict=True)
        ]

    folds = make_folds(dev.malignant, dev.group, 3, seed=0)[:2]
    ranked = search_grid(config, _params(loss=["bce", "focal"]), folds, dev.malignant, execute)
    assert [scored.name for scored in ranked] == ["focal", "bce"]
    assert ranked[0].fold_auc == (1.0, 1.0)
    assert ranked[0].auc_sd == 0
    assert ranked[0].config.training.loss == "focal"
