"""Train the final ensemble on all of dev, or on what test does not know already."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The images.")],
    config: Annotated[Path, typer.Option(help="The chosen configuration.")],
    out_of_fold: Annotated[Path, typer.Option(help="Out-of-fold logits, to calibrate on.")],
    model: Annotated[Path, typer.Option(help="Written: folder of the model.")],
    history: Annotated[Path, typer.Option(help="Written: a row an epoch.")],
    without: Annotated[
        Literal["nothing", "leaked", "others"],
        typer.Option(help="Dev images to leave out: those with a near-twin in test, or as many."),
    ] = "nothing",
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Write the ensemble calibrated on out-of-fold scores."""
    from breast_ultrasound.data.dataset import ImageSet
    from breast_ultrasound.files import write_csv
    from breast_ultrasound.model.artifact import save_model
    from breast_ultrasound.model.training import read_config
    from breast_ultrasound.params import load_params
    from breast_ultrasound.recipes import (
        final_card,
        final_runs,
        images_without,
        loss_rows,
        read_out_of_fold,
    )
    from breast_ultrasound.runs.execute import Executor, find_resources

    settings = load_params(params)
    images = ImageSet.load(dev)
    logits = read_out_of_fold(out_of_fold, len(images))
    execute = Executor(images.images, images.malignant, find_resources(device, workers, cache))
    kept = images_without(without, images, settings.seed)
    runs = final_runs(read_config(config), kept, settings.final.n_seeds, settings.seed)
    results = execute(runs, model.name)
    write_csv(history, *loss_rows(results))
    card = final_card(runs, logits, execute)
    save_model(model, card, [result.weights for result in results])
    typer.echo(
        f"{model.name}: {len(runs)} networks of {len(kept)} images; temperature "
        f"{card.temperature:.2f} and offset {card.offset:.2f} by out-of-fold scores"
    )


app = command(main)
if __name__ == "__main__":
    app()
