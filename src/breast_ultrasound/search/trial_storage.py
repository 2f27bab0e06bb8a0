"""The tables of the searches as a storage file of Optuna, for its own tools."""

import csv
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from breast_ultrasound.files import InputError, atomic

# Columns of both tables; what tells how the search went is kept beside each trial.
SCORE, STOPPED = "auc", "stopped"
COMPLETE = ("finished", "finalist")
HUGE = 1e300  # no score or parameter; whole numbers beyond are too large for a float
GRID_RESULTS = (SCORE, STOPPED, "setting", "auc_sd", "n_folds", "n_epochs", "flops")


def read_learning_rates(path: Path) -> list[optuna.trial.FrozenTrial]:
    """Return the trials of tune_lr's table.

    The table does not say the range searched: that of the rates tried stands for it.

    Raises:
        InputError: no such file, or not such a table.
    """
    rows = _read_table(path, ("trial", "lr", SCORE, STOPPED, "n_folds"))
    rates = [_number(path, row, "lr") for row in rows]
    if any(rate <= 0 for rate in rates):
        raise InputError(f"{path}: expected learning rates over 0, got {min(rates):g}")
    kind: dict[str, optuna.distributions.BaseDistribution] = {}
    if rates:
        kind = {"lr": optuna.distributions.FloatDistribution(min(rates), max(rates), log=True)}
    return [
        _trial(path, row, {"lr": rate}, kind, ("n_folds", STOPPED))
        for row, rate in zip(rows, rates, strict=True)
    ]


def read_settings(path: Path) -> list[optuna.trial.FrozenTrial]:
    """Return the settings of grid_search's table as trials.

    Raises:
        InputError: no such file, or not such a table.
    """
    rows = _read_table(path, GRID_RESULTS)
    values = [
        {name: _value(cell) for name, cell in row.items() if name not in GRID_RESULTS and cell}
        for row in rows
    ]
    # One set of choices for all trials of a study: Optuna refuses another.
    choices: dict[str, dict[Any, None]] = {}
    for setting in values:
        for name, value in setting.items():
            choices.setdefault(name, {})[value] = None
    kinds = {
        name: optuna.distributions.CategoricalDistribution(sorted(own, key=str))
        for name, own in choices.items()
    }
    about = [name for name in GRID_RESULTS if name != SCORE]
    return [
        _trial(path, row, setting, {name: kinds[name] for name in setting}, about)
        for row, setting in zip(rows, values, strict=True)
    ]


def write_storage(path: Path, studies: dict[str, list[optuna.trial.FrozenTrial]]) -> None:
    """Write studies of trials by name into an SQLite file that Optuna opens.

    Raises:
        InputError: the file is there already, and may hold other studies.
    """
    if path.exists():
        raise InputError(f"{path}: expected the name of a new file, got one that is there")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Under a name of its own: an odd one would not survive in a URL.
    with atomic(path) as temporary, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trials.db"
        storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
        for name, trials in studies.items():
            study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
            study.add_trials(trials)
        storage.remove_session()
        storage.engine.dispose()
        shutil.copyfile(file, temporary)


def _trial(
    path: Path,
    row: dict[str, str],
    params: dict[str, Any],
    kinds: dict[str, optuna.distributions.BaseDistribution],
    about: Sequence[str],
) -> optuna.trial.FrozenTrial:
    complete = row[STOPPED] in COMPLETE
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED,
        value=_number(path, row, SCORE),
        params=params,
        distributions=kinds,
        user_attrs={name: _value(row[name]) for name in about},
    )


def _read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro` to make it") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a table ({error}); run `dvc repro` again") from None
    have = reader.fieldnames or []
    if missing := [name for name in columns if name not in have]:
        raise InputError(f"{path}: expected a column {missing[0]!r}; run `dvc repro` again")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise InputError(f"{path}: line {number}: expected {len(have)} cells")
    return rows


def _number(path: Path, row: dict[str, str], name: str) -> float:
    value = _value(row[name])
    if isinstance(value, str):
        raise InputError(f"{path}: {name}: expected a number, got {value!r}; run `dvc repro` again")
    return float(value)


def _value(cell: str) -> int | float | str:
    """Return a number where a cell holds one that is finite, else the word."""
    for kind in (int, float):
        try:
            value = kind(cell)
        except ValueError:
            continue
        if abs(value) < HUGE:
            return value
    return cell
