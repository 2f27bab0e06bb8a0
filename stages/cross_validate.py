"""Estimate the chosen configuration on dev by repeated, grouped, stratified folds."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The images.")],
    config: Annotated[Path, typer.Option(help="The chosen configuration.")],
    metrics: Annotated[Path, typer.Option(help="Written: mean and sd of every score.")],
    out_of_fold: Annotated[Path, typer.Option(help="Written: out-of-fold logits.")],
    fold_scores: Annotated[Path, typer.Option(help="Written: a row a fold.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Write the scores over folds, beside those of folds that near-duplicates may cross."""
    from breast_ultrasound.data.dataset import ImageSet
    from breast_ultrasound.files import write_arrays, write_csv, write_json
    from breast_ultrasound.model.training import read_config
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import Executor, find_resources
    from breast_ultrasound.search.cross_validation import cross_validate, fold_rows, summarise

    settings = load_params(params)
    images = ImageSet.load(dev)
    chosen = read_config(config)
    execute = Executor(images.images, images.malignant, find_resources(device, workers, cache))
    n_splits, seed = settings.folds.n_splits, settings.seed
    repeats = settings.cross_validate
    grouped, ungrouped = (
        cross_validate(chosen, images, n_splits, n_repeats, seed, execute, grouped=kind)
        for kind, n_repeats in ((True, repeats.n_repeats), (False, repeats.n_ungrouped))
    )
    write_arrays(out_of_fold, {"logits": grouped.logits})
    write_csv(fold_scores, *fold_rows(grouped, ungrouped))
    summary = summarise(grouped, ungrouped, images, settings.evaluate, seed)
    write_json(metrics, {**summary, "trained_on": execute.trained_on})
    auc, without = summary["auc"], summary["ungrouped"]["auc"]
    typer.echo(
        f"grouped AUC {auc['mean']:.3f} ± {auc['sd']:.3f} over {len(grouped.folds)} folds; "
        f"ungrouped {without['mean']:.3f} ± {without['sd']:.3f}"
    )


app = command(main)
if __name__ == "__main__":
    app()
