"""The whole protocol on splits that no near-duplicate crosses. Reads all images, test too."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from breast_ultrasound.console import Cache, Device, ParamsFile, Scheduler, Workers, command

if TYPE_CHECKING:
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.search.protocol import ProtocolResult


def main(
    raw: Annotated[Path, typer.Option(help="The downloaded file.")],
    metrics: Annotated[Path, typer.Option(help="Written: choices, estimate and scores.")],
    also_train: Annotated[Path, typer.Option(help="Images to learn from besides.")],
    params: ParamsFile = Path("params.yaml"),
    workers: Workers = 0,
    device: Device = "auto",
    cache: Cache = None,
    scheduler: Scheduler = None,
) -> None:
    """Assign the images anew, search, train and evaluate; write what comes out."""
    from breast_ultrasound.data.dev_and_test import on_clean_split
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.data.source import read_source
    from breast_ultrasound.evaluation.model_scores import summarise
    from breast_ultrasound.files import write_json
    from breast_ultrasound.model.arithmetic import limit_process
    from breast_ultrasound.model.classifier import predict
    from breast_ultrasound.params import load_params
    from breast_ultrasound.runs.execute import make_executor
    from breast_ultrasound.search.protocol import baseline_weights, run_protocol

    settings, more = load_params(params), ImageSet.load(also_train, may_be_empty=True)
    cut, seed = settings.preprocess.near_duplicate_correlation, settings.seed
    arithmetic = settings.training.arithmetic
    dev, test = on_clean_split(read_source(raw), cut, seed)
    execute = make_executor(dev, more, arithmetic, device, workers, cache, scheduler)
    result = run_protocol(dev, settings, execute, baseline_weights(settings))
    scored_on = limit_process(arithmetic, found := execute.resources.device)
    predictions = {
        name: predict(model.classifier().to(found), test.images, found)
        for name, model in result.models.items()
    }
    points = {name: model.card.operating_points for name, model in result.models.items()}
    scores = summarise(predictions, points, test, settings.evaluate, seed)
    content = _choices(result, dev, settings.evaluate.confidence)
    counts = {"images": {"dev": len(dev), "test": len(test)}, "leaked": int(test.leaked.sum())}
    content = {"data": counts, **content, "evaluate": scores}
    write_json(metrics, {**content, "trained_on": execute.trained_on, "scored_on": scored_on})
    typer.echo(f"final: AUC {scores['final']['test']['auc']:.3f}")


def _choices(result: "ProtocolResult", dev: "ImageSet", confidence: float) -> dict[str, Any]:
    from breast_ultrasound.search import cross_validation, grid

    return {
        "lr": result.lr,
        "grid_search": grid.summarise(result.ranking),
        "cross_validate": cross_validation.summarise(result.validation, dev, confidence),
    }


app = command(main)
if __name__ == "__main__":
    app()
