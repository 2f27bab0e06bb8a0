"""Search the learning rate on grouped folds of dev, unless params.yaml pins it."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Scheduler, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The images.")],
    metrics: Annotated[Path, typer.Option(help="Written: the learning rate.")],
    trials: Annotated[Path, typer.Option(help="Written: one row per trial.")],
    also_train: Annotated[Path, typer.Option(help="Images to learn from besides.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
    scheduler: Scheduler = None,
) -> None:
    """Write the learning rate and where it comes from."""
    from breast_ultrasound.files import write_csv, write_json
    from breast_ultrasound.params import load_params

    settings = load_params(params)
    if settings.lr is not None:
        write_csv(trials, ("trial", "lr", "auc", "n_folds", "stopped"), [])
        write_json(metrics, {"lr": settings.lr, "source": "params.yaml"}, exact=True)
        typer.echo(f"learning rate {settings.lr:g}, pinned in {params}")
        return

    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.runs.execute import make_executor
    from breast_ultrasound.search import learning_rate
    from breast_ultrasound.search.protocol import tune

    images = ImageSet.load(dev)
    more = ImageSet.load(also_train, may_be_empty=True)
    execute = make_executor(
        images, more, settings.training.arithmetic, device, workers, cache, scheduler
    )
    found = tune(images, settings, execute)
    best = learning_rate.best_trial(found, settings.tune_lr)
    write_csv(trials, *learning_rate.trial_rows(found))
    summary = {"lr": best.lr, "source": "search", "auc": best.auc}
    write_json(metrics, {**summary, "trained_on": execute.trained_on})
    typer.echo(f"learning rate {best.lr:g}: mean fold AUC {best.auc:.3f}")
    for warning in learning_rate.warnings(found, best.lr, settings.tune_lr):
        typer.echo(f"warning: {warning}", err=True)


app = command(main)
if __name__ == "__main__":
    app()
