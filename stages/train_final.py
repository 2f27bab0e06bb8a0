"""Train the final ensemble, and beside it the models it is compared with."""

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
    retrained: Annotated[Path, typer.Option(help="Written: one without test's near-duplicates.")],
    control: Annotated[Path, typer.Option(help="Written: one without as many others.")],
    histories: Annotated[Path, typer.Option(help="Written: a table a model, a row an epoch.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Write the models, the ensembles calibrated on out-of-fold scores."""
    from breast_ultrasound.data.dataset import ImageSet
    from breast_ultrasound.files import write_csv
    from breast_ultrasound.model.artifact import save_model
    from breast_ultrasound.model.training import read_config
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import Executor, find_resources
    from breast_ultrasound.search.final_models import plan_models, read_out_of_fold, train_models

    settings = load_params(params)
    images = ImageSet.load(dev)
    logits = read_out_of_fold(out_of_fold, len(images))
    weights = None
    if settings.baseline.weights == "imagenet":
        from breast_ultrasound.model.pretrained import imagenet_weights

        weights = imagenet_weights(settings.data.search_path)
    plan = plan_models(
        read_config(config), settings.final, settings.baseline, weights, images, settings.seed
    )
    execute = Executor(images.images, images.malignant, find_resources(device, workers, cache))
    folders = {"baseline": baseline, "final": final, "retrained": retrained, "control": control}
    for name, model in train_models(plan, logits, execute).items():
        save_model(folders[name], model.card, model.weights)
        write_csv(histories / f"{name}.csv", *model.history)
        typer.echo(f"{name}: {len(plan[name])} × {len(plan[name][0].train)} images")


app = command(main)
if __name__ == "__main__":
    app()
