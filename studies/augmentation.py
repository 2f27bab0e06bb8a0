"""What augmentation is worth, on grouped folds of dev and on test. Reads test images."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Scheduler, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The dev images.")],
    test: Annotated[Path, typer.Option(help="The test images.")],
    config: Annotated[Path, typer.Option(help="The chosen configuration.")],
    out_of_fold: Annotated[Path, typer.Option(help="Out-of-fold logits with augmentation.")],
    metrics: Annotated[Path, typer.Option(help="Written: AUC without and with.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of the figure.")],
    also_train: Annotated[Path, typer.Option(help="Images to learn from besides.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
    scheduler: Scheduler = None,
) -> None:
    """Write the AUC of one network without augmentation and with, and the paired difference."""
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.evaluation import figures
    from breast_ultrasound.files import write_json
    from breast_ultrasound.model.training import read_config
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import find_resources
    from breast_ultrasound.search.augmentation import effects_of_augmentation
    from breast_ultrasound.search.final_models import read_out_of_fold

    settings, chosen = load_params(params), read_config(config)
    known, images = ImageSet.load(dev), ImageSet.load(test)
    more = ImageSet.load(also_train, may_be_empty=True)
    resources = find_resources(device, chosen.training.arithmetic, workers, cache, scheduler)
    with_augmentation = read_out_of_fold(out_of_fold, len(known))
    effects, trained_on = effects_of_augmentation(
        chosen, known, images, more, with_augmentation, settings, resources
    )
    write_json(metrics, {**effects, "trained_on": trained_on})
    figures.augmentation(effects, plots / "augmentation.png")
    for name, row in effects.items():
        typer.echo(
            f"{name}: {row['without']:.3f} without, {row['with']:.3f} with augmentation, "
            f"{row['auc']:+.3f} [{row['auc_low']:+.3f}, {row['auc_high']:+.3f}]"
        )


app = command(main)
if __name__ == "__main__":
    app()
