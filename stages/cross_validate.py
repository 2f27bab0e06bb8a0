"""Estimate the chosen configuration on dev by repeated, grouped, stratified folds."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Scheduler, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The images.")],
    config: Annotated[Path, typer.Option(help="The chosen configuration.")],
    metrics: Annotated[Path, typer.Option(help="Written: mean and sd of every score.")],
    out_of_fold: Annotated[Path, typer.Option(help="Written: out-of-fold logits.")],
    fold_scores: Annotated[Path, typer.Option(help="Written: one row per fold.")],
    also_train: Annotated[Path, typer.Option(help="Images to learn from besides.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
    scheduler: Scheduler = None,
) -> None:
    """Write the scores over grouped folds, on cuts that no search has used."""
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.files import write_arrays, write_csv, write_json
    from breast_ultrasound.model.training import read_config
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import make_executor
    from breast_ultrasound.search.cross_validation import cross_validate, fold_rows, summarise

    settings, chosen, images = load_params(params), read_config(config), ImageSet.load(dev)
    more = ImageSet.load(also_train, may_be_empty=True)
    execute = make_executor(
        images, more, chosen.training.arithmetic, device, workers, cache, scheduler
    )
    n_repeats = settings.cross_validate.n_repeats
    validation = cross_validate(
        chosen, images, settings.folds.n_splits, n_repeats, settings.seed, execute
    )
    write_arrays(out_of_fold, {"logits": validation.logits})
    write_csv(fold_scores, *fold_rows(validation))
    summary = summarise(validation, images, settings.evaluate.confidence)
    write_json(metrics, {**summary, "trained_on": execute.trained_on})
    auc, pooled = summary["auc"], summary["pooled"]
    typer.echo(
        f"AUC {auc['mean']:.3f} ± {auc['sd']:.3f} over {len(validation.folds)} folds; "
        f"{pooled['auc']:.3f} by the mean of {n_repeats} networks per image"
    )


app = command(main)
if __name__ == "__main__":
    app()
