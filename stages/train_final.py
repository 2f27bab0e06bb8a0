"""Train the final ensemble, and beside it the baseline."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The images.")],
    config: Annotated[Path, typer.Option(help="The chosen configuration.")],
    out_of_fold: Annotated[Path, typer.Option(help="Out-of-fold logits, to calibrate on.")],
    baseline: Annotated[Path, typer.Option(help="Written: torchvision's ResNet-18.")],
    final: Annotated[Path, typer.Option(help="Written: the ensemble.")],
    histories: Annotated[Path, typer.Option(help="Written: a table per model, one row per epoch.")],
    also_train: Annotated[Path, typer.Option(help="Images to learn from besides.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Write both models, the ensemble calibrated on out-of-fold scores."""
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.data.near_duplicates import least_alike
    from breast_ultrasound.files import write_csv
    from breast_ultrasound.model.artifact import save_model
    from breast_ultrasound.model.training import read_config
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import make_executor
    from breast_ultrasound.search.final_models import read_out_of_fold, train_models
    from breast_ultrasound.search.protocol import baseline_weights, plan_models

    settings, chosen, images = load_params(params), read_config(config), ImageSet.load(dev)
    logits = read_out_of_fold(out_of_fold, len(images)).mean(axis=0)
    plan = plan_models(chosen, images, settings, baseline_weights(settings))
    more = ImageSet.load(also_train, may_be_empty=True)
    execute = make_executor(images, more, chosen.training.arithmetic, device, workers, cache)
    cut = settings.preprocess.near_duplicate_correlation
    folders = {"baseline": baseline, "final": final}
    # Of own images, which may be private, a model keeps none, unless asked.
    kind, shown = settings.data.name, settings.data.show_images
    known = images.thumbnails if shown or kind != "images" else None
    unlike = None if known is None else least_alike(known, cut)
    for name, (model, history) in train_models(plan, logits, cut, execute).items():
        card = model.card.model_copy(update={"unlike_below": unlike})
        save_model(folders[name], replace(model, card=card, known=known))
        write_csv(histories / f"{name}.csv", *history)
        typer.echo(f"{name}: {len(plan[name])} × {len(plan[name][0].train)} images")


app = command(main)
if __name__ == "__main__":
    app()
