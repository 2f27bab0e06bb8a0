"""Train the final ensemble, and beside it the baseline."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Scheduler, Workers, command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.params import DataParams


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
    scheduler: Scheduler = None,
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

    settings, chosen = load_params(params), read_config(config)
    images, more = ImageSet.load(dev), ImageSet.load(also_train, may_be_empty=True)
    arithmetic, cut = chosen.training.arithmetic, settings.preprocess.near_duplicate_correlation
    logits = read_out_of_fold(out_of_fold, len(images)).mean(axis=0)
    plan = plan_models(chosen, images, settings, baseline_weights(settings))
    execute = make_executor(images, more, arithmetic, device, workers, cache, scheduler)
    known = _known(images, settings.data)
    unlike = None if known is None else least_alike(known, cut)
    for name, (model, history) in train_models(plan, logits, cut, execute).items():
        card = model.card.model_copy(update={"unlike_below": unlike})
        save_model(
            baseline if name == "baseline" else final, replace(model, card=card, known=known)
        )
        write_csv(histories / f"{name}.csv", *history)
        typer.echo(f"{name}: {len(plan[name])} × {len(plan[name][0].train)} images")


def _known(images: "ImageSet", data: "DataParams") -> "NDArray[np.uint8] | None":
    """Return the thumbnails that a model keeps: none of own images, unless asked."""
    kind, shown = data.name, data.show_images
    return images.thumbnails if shown or kind != "images" else None


app = command(main)
if __name__ == "__main__":
    app()
