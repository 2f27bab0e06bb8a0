"""Choose architecture, loss and regularisation among combinations, on grouped folds of dev."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Scheduler, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The images.")],
    lr: Annotated[Path, typer.Option(help="The learning rate, from tune_lr.")],
    config: Annotated[Path, typer.Option(help="Written: the chosen configuration.")],
    metrics: Annotated[Path, typer.Option(help="Written: its score.")],
    ranking: Annotated[Path, typer.Option(help="Written: one row per setting, the best first.")],
    also_train: Annotated[Path, typer.Option(help="Images to learn from besides.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
    scheduler: Scheduler = None,
) -> None:
    """Write the chosen configuration and the ranking."""
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.files import read_number, write_csv, write_json
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import make_executor
    from breast_ultrasound.search import grid
    from breast_ultrasound.search.protocol import search

    settings, images, rate = load_params(params), ImageSet.load(dev), read_number(lr, "lr")
    more = ImageSet.load(also_train, may_be_empty=True)
    execute = make_executor(
        images, more, settings.training.arithmetic, device, workers, cache, scheduler
    )
    ranked = search(images, settings, rate, execute)
    chosen = ranked[0]
    write_json(config, chosen.config.model_dump(), exact=True)
    write_csv(ranking, *grid.ranking_rows(ranked))
    write_json(metrics, {**grid.summarise(ranked), "trained_on": execute.trained_on})
    typer.echo(f"chosen of {len(ranked)}: {chosen.name}: mean fold AUC {chosen.auc:.3f}")
    if warning := grid.divergence_warning(ranked):
        typer.echo(f"warning: {warning}", err=True)


app = command(main)
if __name__ == "__main__":
    app()
