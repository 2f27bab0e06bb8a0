"""What classical features and learners score on the pipeline's grouped folds."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import ParamsFile, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The dev images.")],
    out_of_fold: Annotated[Path, typer.Option(help="The pipeline's out-of-fold logits.")],
    metrics: Annotated[Path, typer.Option(help="Written: one entry per learner.")],
    table: Annotated[Path, typer.Option(help="Written: the same, one row per learner.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
) -> None:
    """Write fold AUC, with its difference to the pipeline's network, of each learner."""
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.files import write_csv, write_json
    from breast_ultrasound.params import load_params
    from breast_ultrasound.search.comparison import comparison_rows
    from breast_ultrasound.search.final_models import read_out_of_fold
    from breast_ultrasound.search.references import classical_learners

    settings, images = load_params(params), ImageSet.load(dev)
    logits = read_out_of_fold(out_of_fold, len(images))
    rows = classical_learners(images, logits, settings.folds.n_splits, settings.seed, workers)
    write_json(metrics, rows)
    write_csv(table, *comparison_rows(rows))
    for name, row in rows.items():
        typer.echo(f"{name}: fold AUC {row['fold_auc']:.3f} ± {row['fold_auc_se']:.3f}")


app = command(main)
if __name__ == "__main__":
    app()
