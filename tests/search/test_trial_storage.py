"""What `breast-ultrasound trials` writes, as Optuna reads it."""

from pathlib import Path

import optuna
import pytest
from click.testing import Result
from typer.testing import CliRunner

from breast_ultrasound.cli.app import app
from breast_ultrasound.files import write_csv
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.search.grid import Candidate, ranking_rows
from breast_ultrasound.search.learning_rate import Trial, trial_rows

COMPLETE, PRUNED = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED
TRIALS = [
    Trial(0, 0.001, (0.8, 0.9)),
    Trial(1, 0.01, (0.7,), pruned=True),
    Trial(2, 0.1, (0.0,), diverged=True),
    Trial(3, 0.003, (0.9, 0.9)),
]


def settings(config: TrainingConfig) -> list[Candidate]:
    bce = {"blocks": [0, 1, 1, 1], "width": 16, "loss": "bce", "label_smoothing": 0.1}
    pairwise = {"blocks": [1, 1, 1, 1], "width": 8, "loss": "pairwise_auc"}
    return [
        Candidate(bce, config, 100, 3, 40, (0.8, 0.9)),
        Candidate(pairwise, config, 200, 1, 10, (0.7,)),
        Candidate({**bce, "width": 8}, config, 300, 1, 10, (0.0,), diverged=True),
    ]


@pytest.fixture
def tables(tmp_path: Path, config: TrainingConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_csv(Path("plots/tune_lr.csv"), *trial_rows(TRIALS))
    write_csv(Path("plots/grid_search.csv"), *ranking_rows(settings(config)))
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["trials", *arguments])


def load(file: Path, name: str) -> optuna.Study:
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    study = optuna.load_study(study_name=name, storage=storage)
    found = optuna.create_study(direction="maximize")
    found.add_trials(study.trials)
    storage.remove_session()
    storage.engine.dispose()
    return found


def test_optuna_finds_every_trial(tables: Path) -> None:
    result = call("trials.db")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "tune_lr: 4 trials, 2 of them on all folds",
        "grid_search: 3 trials, 1 of them on all folds",
    ]
    rates = load(tables / "trials.db", "tune_lr")
    assert [trial.params["lr"] for trial in rates.trials] == [t.lr for t in TRIALS]
    assert [trial.value for trial in rates.trials] == pytest.approx([t.auc for t in TRIALS])
    assert [trial.state for trial in rates.trials] == [COMPLETE, PRUNED, PRUNED, COMPLETE]
    assert rates.best_trial.number == 3
    grid = load(tables / "trials.db", "grid_search")
    assert [trial.params for trial in grid.trials] == [
        {"blocks": "0-1-1-1", "width": 16, "loss": "bce", "label_smoothing": 0.1},
        {"blocks": "1-1-1-1", "width": 8, "loss": "pairwise_auc"},
        {"blocks": "0-1-1-1", "width": 8, "loss": "bce", "label_smoothing": 0.1},
    ]
    assert [trial.state for trial in grid.trials] == [COMPLETE, PRUNED, PRUNED]
    assert [trial.user_attrs["stopped"] for trial in grid.trials] == [
        "finalist",
        "rung 1",
        "diverged",
    ]
    assert grid.trials[0].user_attrs["flops"] == 100


def test_a_pinned_rate_is_a_study_without_trials(tables: Path) -> None:
    write_csv(Path("plots/tune_lr.csv"), *trial_rows([]))
    assert "tune_lr: 0 trials" in call("trials.db").stdout
    assert load(tables / "trials.db", "tune_lr").trials == []


def test_tables_of_other_places_and_odd_names(tables: Path) -> None:
    (tables / "plots").rename(tables / "of before")
    names = {name: str(tables / "of before" / f"{name}.csv") for name in ("tune_lr", "grid_search")}
    options = ("--tune-lr", names["tune_lr"], "--grid-search", names["grid_search"])
    assert call("a b?c%d#e.db", *options).exit_code == 0
    (tables / "a b?c%d#e.db").rename(tables / "plain.db")
    assert len(load(tables / "plain.db", "grid_search").trials) == 3


def test_nothing_is_written_over(tables: Path) -> None:
    assert call("trials.db").exit_code == 0
    before = (tables / "trials.db").read_bytes()
    result = call("trials.db")
    assert result.exit_code == 2
    assert "expected the name of a new file" in result.stderr
    assert (tables / "trials.db").read_bytes() == before
