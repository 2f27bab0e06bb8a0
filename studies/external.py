"""What the models score on another hospital's images, and learning from those. Reads test."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Scheduler, Workers, command

if TYPE_CHECKING:
    from breast_ultrasound.evaluation.external import ScoredImages
    from breast_ultrasound.params import Params

# Of these more is written, under these names.
MORE = {("BreastMNIST, final", "BUS-BRA"): "final", ("both", "BUS-BRA"): "both"}


def main(
    dev: Annotated[Path, typer.Option(help="The dev images.")],
    test: Annotated[Path, typer.Option(help="The test images.")],
    config: Annotated[Path, typer.Option(help="The chosen configuration.")],
    baseline: Annotated[Path, typer.Option(help="Folder of the baseline.")],
    final: Annotated[Path, typer.Option(help="Folder of the final model.")],
    metrics: Annotated[Path, typer.Option(help="Written: scores with intervals.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of the table and the figure.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
    scheduler: Scheduler = None,
) -> None:
    """Write scores at home and on BUS-BRA: of the pipeline's models, the reverse, and both."""
    from breast_ultrasound.data.busbra import find_busbra, read_busbra
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.evaluation.external import score_rows
    from breast_ultrasound.model.arithmetic import limit_process
    from breast_ultrasound.model.artifact import load_model
    from breast_ultrasound.model.training import read_config
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import find_resources
    from breast_ultrasound.search.external import external_predictions

    settings, chosen = load_params(params), read_config(config)
    known, images = ImageSet.load(dev), ImageSet.load(test)
    cut = settings.preprocess.near_duplicate_correlation
    busbra = read_busbra(find_busbra(settings.data.search_path), known.side, cut)
    models = {"baseline": load_model(baseline), "final": load_model(final)}
    resources = find_resources(device, chosen.training.arithmetic, workers, cache, scheduler)
    scored_on = limit_process(chosen.training.arithmetic, resources.device)
    scored = external_predictions(models, chosen, known, images, busbra, settings, resources)
    rows = score_rows(scored, settings.evaluate, settings.seed)
    trained_on = resources.trained_on(chosen.training.arithmetic)
    _write(rows, {"scored_on": scored_on, "trained_on": trained_on}, metrics, plots)
    _write_more(scored, settings, plots)
    for row in rows:
        typer.echo(f"{row['learned_from']} → {row['scored_on']}: AUC {row['auc']:.3f}")


def _write(
    rows: list[dict[str, Any]], arithmetic: dict[str, str], metrics: Path, plots: Path
) -> None:
    from breast_ultrasound.evaluation.external import key_of_row, table_of
    from breast_ultrasound.evaluation.external_figures import forest
    from breast_ultrasound.files import write_csv, write_json

    content = {key_of_row(row): row for row in rows}
    write_json(metrics, {**content, **arithmetic})
    write_csv(plots / "external.csv", *table_of(rows))
    forest(rows, plots / "external.png")


def _write_more(scored: "list[ScoredImages]", settings: "Params", plots: Path) -> None:
    """Write what is said of BUS-BRA alone: scores by subgroup, risk and coverage."""
    from breast_ultrasound.data.busbra import SUBGROUPS
    from breast_ultrasound.evaluation.curves import write_risk_coverage
    from breast_ultrasound.evaluation.external import subgroup_rows, subgroup_table
    from breast_ultrasound.files import write_csv

    chosen = [one for one in scored if (one.learned_from, one.scored_on) in MORE]
    groups = subgroup_rows(chosen, SUBGROUPS, settings.evaluate, settings.seed)
    write_csv(plots / "subgroups.csv", *subgroup_table(groups))
    for one in chosen:
        file = f"risk_coverage_{MORE[one.learned_from, one.scored_on]}.csv"
        write_risk_coverage(one.images.malignant, one.probability, plots / file)


app = command(main)
if __name__ == "__main__":
    app()
