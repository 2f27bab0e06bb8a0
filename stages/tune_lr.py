"""Search the learning rate on grouped folds of dev, unless params.yaml pins it."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The images.")],
    metrics: Annotated[Path, typer.Option(help="Written: the learning rate.")],
    trials: Annotated[Path, typer.Option(help="Written: one row per trial.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Write the learning rate and where it comes from."""
    from breast_ultrasound.data.dataset import ImageSet
    from breast_ultrasound.data.folds import make_folds
    from breast_ultrasound.files import write_csv, write_json
    from breast_ultrasound.params import load_params

    settings = load_params(params)
    if settings.lr is not None:
        write_csv(trials, ("trial", "lr", "auc", "n_folds", "stopped"), [])
        write_json(metrics, {"lr": settings.lr, "source": "params.yaml"}, exact=True)
        typer.echo(f"learning rate {settings.lr:g}, pinned in {params}")
        return

    from breast_ultrasound.runs.execute import Executor, find_resources
    from breast_ultrasound.search import learning_rate
    from breast_ultrasound.search.fold_runs import start_config

    tuning = settings.tune_lr
    images = ImageSet.load(dev)
    folds = make_folds(images.malignant, images.group, settings.folds.n_splits, settings.seed)
    arithmetic = settings.training.arithmetic
    resources = find_resources(device, arithmetic, workers, cache)
    execute = Executor(images.images, images.malignant, resources, arithmetic)
    found = learning_rate.tune_learning_rate(
        start_config(settings, tuning.low),  # each trial puts its own rate
        tuning,
        folds[: tuning.n_folds],
        images.malignant,
        settings.seed,
        execute,
    )
    best = learning_rate.best_trial(found, tuning)
    write_csv(trials, *learning_rate.trial_rows(found))
    summary = {"lr": best.lr, "source": "search", "auc": best.auc}
    write_json(metrics, {**summary, "trained_on": execute.trained_on})
    typer.echo(f"learning rate {best.lr:g}: mean fold AUC {best.auc:.3f}")
    warnings = learning_rate.divergence_warning(found), learning_rate.edge_warning(best.lr, tuning)
    for warning in filter(None, warnings):
        typer.echo(f"warning: {warning}", err=True)


app = command(main)
if __name__ == "__main__":
    app()
