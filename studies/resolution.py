"""28, 64, 128 and 224 pixels beside each other. Reads test; it chooses nothing."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Scheduler, Workers, command


def main(
    dev: Annotated[Path, typer.Option(help="The dev images.")],
    test: Annotated[Path, typer.Option(help="The test images.")],
    config: Annotated[Path, typer.Option(help="The chosen configuration.")],
    metrics: Annotated[Path, typer.Option(help="Written: scores with intervals.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of the table and the figure.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
    scheduler: Scheduler = None,
) -> None:
    """Write scores of the same search and folds at each size of BreastMNIST."""
    from breast_ultrasound.data.busbra import find_busbra
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.evaluation.external import score_rows, table_of
    from breast_ultrasound.evaluation.external_figures import forest
    from breast_ultrasound.files import write_csv, write_json
    from breast_ultrasound.model.training import read_config
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import find_resources
    from breast_ultrasound.search.resolution import compare_sizes, summarise

    settings, chosen = load_params(params), read_config(config)
    known, images = ImageSet.load(dev), ImageSet.load(test)
    folder = find_busbra(settings.data.search_path)
    arithmetic = chosen.training.arithmetic
    resources = find_resources(device, arithmetic, workers, cache, scheduler)
    sizes = compare_sizes(chosen, known, images, folder, settings, resources, cache)
    rows = score_rows([s for size in sizes for s in size.scored], settings.evaluate, settings.seed)
    trained_on = resources.trained_on(arithmetic)
    write_json(metrics, {**summarise(sizes, rows), "trained_on": trained_on})
    write_csv(plots / "resolution.csv", *table_of(rows))
    forest(rows, plots / "resolution.png")
    for row in rows:
        typer.echo(f"{row['learned_from']}, {row['scored_on']}: AUC {row['auc']:.3f}")


app = command(main)
if __name__ == "__main__":
    app()
