"""What the official recipe's ResNet-18 scores on the pipeline's grouped folds; over an hour."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, ParamsFile, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The dev images.")],
    metrics: Annotated[Path, typer.Option(help="Written: its scores.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    cache: Cache = None,
) -> None:
    """Write the scores of the recipe's 100 epochs on the first repeat of the folds."""
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.files import write_json
    from breast_ultrasound.model.arithmetic import describe
    from breast_ultrasound.params import load_params
    from breast_ultrasound.search.comparison import comparison_row
    from breast_ultrasound.search.references import official_on_folds

    settings, images = load_params(params), ImageSet.load(dev)
    result = official_on_folds(images, settings.folds.n_splits, settings.seed, workers, cache)
    row = comparison_row(result, result, images)
    kept = ("fold_auc", "fold_auc_se", "single_auc", "accuracy")
    write_json(
        metrics, {**{name: row[name] for name in kept}, "trained_on": describe("fp32", "cpu")}
    )
    typer.echo(f"official recipe: fold AUC {row['fold_auc']:.3f} ± {row['fold_auc_se']:.3f}")


app = command(main)
if __name__ == "__main__":
    app()
