"""What near-duplicates do to scores, on test images and across folds. Reads test images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Scheduler, Workers, command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.model.artifact import TrainedModel


def main(
    dev: Annotated[Path, typer.Option(help="The dev images.")],
    test: Annotated[Path, typer.Option(help="The test images.")],
    config: Annotated[Path, typer.Option(help="The chosen configuration.")],
    out_of_fold: Annotated[Path, typer.Option(help="Out-of-fold logits on grouped folds.")],
    baseline: Annotated[Path, typer.Option(help="Folder of the baseline.")],
    final: Annotated[Path, typer.Option(help="Folder of the final model.")],
    metrics: Annotated[Path, typer.Option(help="Written: scores and differences.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of figures and tables.")],
    also_train: Annotated[Path, typer.Option(help="Images to learn from besides.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
    scheduler: Scheduler = None,
) -> None:
    """Write the scores of models that know test's near-duplicates and of one that does not."""
    from breast_ultrasound.evaluation.leakage import effects_on_test, write_plots
    from breast_ultrasound.files import write_json
    from breast_ultrasound.model.arithmetic import limit_process
    from breast_ultrasound.model.training import read_config
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import find_resources
    from breast_ultrasound.search.leakage import effect_on_folds, models_on_test

    settings, chosen = load_params(params), read_config(config)
    known, images, more = _load(dev, test, also_train)
    arithmetic = chosen.training.arithmetic
    resources = find_resources(device, arithmetic, workers, cache, scheduler)
    scored_on = limit_process(arithmetic, resources.device)
    pipeline = _load_models(baseline, final)
    models = models_on_test(chosen, pipeline, known, images, more, settings.seed, resources)
    effects = effects_on_test(models, images, settings.evaluate, settings.seed)
    grouped, kinds = _scores_and_kinds(out_of_fold, known, settings.data.search_path)
    folds = effect_on_folds(chosen, known, more, grouped, kinds, settings, resources)
    content = {**effects, "folds": folds, "scored_on": scored_on}
    write_json(metrics, {**content, "trained_on": resources.trained_on(arithmetic)})
    write_plots({name: models[name] for name in pipeline}, effects, images, known, plots)
    typer.echo(f"ungrouped folds: AUC {folds['ungrouped_minus_grouped']['auc']:+.3f} over grouped")


def _load(dev: Path, test: Path, also_train: Path) -> tuple["ImageSet", "ImageSet", "ImageSet"]:
    from breast_ultrasound.data.image_set import ImageSet

    more = ImageSet.load(also_train, may_be_empty=True)
    return ImageSet.load(dev), ImageSet.load(test), more


def _scores_and_kinds(
    out_of_fold: Path, known: "ImageSet", search_path: list[str]
) -> tuple["NDArray[np.float32]", "NDArray[np.str_]"]:
    from breast_ultrasound.data.busi import read_kinds
    from breast_ultrasound.search.final_models import read_out_of_fold

    return read_out_of_fold(out_of_fold, len(known)), read_kinds(search_path, known)


def _load_models(baseline: Path, final: Path) -> dict[str, "TrainedModel"]:
    from breast_ultrasound.model.artifact import load_model

    return {"baseline": load_model(baseline), "final": load_model(final)}


app = command(main)
if __name__ == "__main__":
    app()
