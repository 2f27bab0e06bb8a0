"""Train torchvision's ResNet-18 plainly, for comparison."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The images.")],
    model: Annotated[Path, typer.Option(help="Written: folder of the model.")],
    history: Annotated[Path, typer.Option(help="Written: a row an epoch.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Train on the official train images; keep the epoch of best AUC on the official val images."""
    from breast_ultrasound.data.dataset import ImageSet
    from breast_ultrasound.files import write_csv
    from breast_ultrasound.model.artifact import save_model
    from breast_ultrasound.model.pretrained import imagenet_weights
    from breast_ultrasound.params import load_params
    from breast_ultrasound.recipes import baseline_card, baseline_run
    from breast_ultrasound.runs.execute import Executor, find_resources

    settings = load_params(params)
    images = ImageSet.load(dev)
    weights = None
    if settings.baseline.weights == "imagenet":
        weights = imagenet_weights(settings.data.search_path)
    execute = Executor(images.images, images.malignant, find_resources(device, workers, cache))
    run = baseline_run(settings.baseline, images, settings.seed, weights)
    (result,) = execute([run], "baseline")
    rows = zip(range(1, len(result.train_loss) + 1), result.train_loss, result.val_auc, strict=True)
    write_csv(history, ("epoch", "train_loss", "val_auc"), rows)
    card = baseline_card(run, result, execute)
    save_model(model, card, [result.weights])
    typer.echo(f"baseline: best AUC on val {card.scores['val_auc']:.3f}")


app = command(main)
if __name__ == "__main__":
    app()
