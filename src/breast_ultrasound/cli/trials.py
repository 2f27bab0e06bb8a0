"""`breast-ultrasound trials`: the searches' trials for Optuna's own tools."""

from pathlib import Path
from typing import Annotated

import typer


def trials(
    file: Annotated[Path, typer.Argument(help="Written: a new SQLite file.")],
    tune_lr: Annotated[Path, typer.Option(help="The trials of tune_lr.")] = Path(
        "plots/tune_lr.csv"
    ),
    grid_search: Annotated[Path, typer.Option(help="The ranking of grid_search.")] = Path(
        "plots/grid_search.csv"
    ),
) -> None:
    """Write the trials of the last searches as a storage file of Optuna.

    `optuna-dashboard sqlite:///FILE` shows it; the extra `dashboard` installs that.
    """
    from breast_ultrasound.search.trial_storage import (
        read_learning_rates,
        read_settings,
        write_storage,
    )

    studies = {"tune_lr": read_learning_rates(tune_lr), "grid_search": read_settings(grid_search)}
    write_storage(file, studies)
    for name, found in studies.items():
        n_complete = sum(trial.state.name == "COMPLETE" for trial in found)
        typer.echo(f"{name}: {len(found)} trials, {n_complete} of them on all folds")
