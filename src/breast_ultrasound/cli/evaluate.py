"""`breast-ultrasound evaluate`: what a trained model is worth on somebody's labelled images."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from breast_ultrasound.cli.options import (
    DEV,
    Dev,
    Exclude,
    Model,
    check_outputs,
    known_thumbnails,
    open_model,
    say_left_out,
    say_model,
)
from breast_ultrasound.console import printable
from breast_ultrasound.files import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.evaluation.external import ScoredImages
    from breast_ultrasound.model.artifact import TrainedModel
    from breast_ultrasound.params import OwnImages

SHOWN = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity",
         "sensitivity_at_90_specificity", "aupr", "f1", "brier", "log_loss", "calibration_slope",
         "calibration_in_the_large")  # fmt: skip


Images = Annotated[
    Path, typer.Argument(help="Table (CSV, TSV) beside the images, or a folder per class.")
]
Image = Annotated[
    str, typer.Option(help="Column of the image's path, or template: 'Images/{ID}.png'.")
]
LabelColumn = Annotated[str, typer.Option("--label", help="Column of the label.")]
Patient = Annotated[str | None, typer.Option(help="Column of the patient.")]
Labels = Annotated[str, typer.Option(help="Labels, with commas.")]
By = Annotated[str, typer.Option(help="Columns that make subgroups, with commas.")]
Recalibrate = Annotated[
    bool, typer.Option(help="Show what a local Platt scaling would give, by cross-fitting.")
]
Bootstrap = Annotated[int, typer.Option(min=10, help="Resamples, for the intervals.")]
Json = Annotated[Path | None, typer.Option(help="Write every score.")]
Csv = Annotated[Path | None, typer.Option(help="Write one row per image.")]
Plot = Annotated[Path | None, typer.Option(help="Write figures into a folder.")]


def evaluate(
    images: Images,
    model: Model = None,
    image: Image = "image",
    label: LabelColumn = "label",
    patient: Patient = None,
    malignant: Labels = "malignant",
    benign: Labels = "benign,normal",
    exclude: Exclude = None,
    by: By = "",
    recalibrate: Recalibrate = False,
    dev: Dev = DEV,
    bootstrap: Bootstrap = 1000,
    json: Json = None,
    csv: Csv = None,
    plot: Plot = None,
) -> None:
    """Score a trained model on labelled images, per image and per patient, with intervals."""
    from breast_ultrasound.evaluation.external import evaluate_images
    from breast_ultrasound.files import write_csv, write_json
    from breast_ultrasound.params import EvaluateParams

    columns = _names(by)
    own = own_images(images, image, label, patient, columns, malignant, benign, exclude or [])
    folder, trained = open_model(model)
    scored, members, scored_on = _predict(own, trained, str(images), dev, [json, csv], plot)
    interval = EvaluateParams(n_bootstrap=bootstrap, confidence=0.95)
    points = trained.card.operating_points
    content = evaluate_images(scored, points, columns, recalibrate, interval, seed=0)
    say_model(model, folder)
    show(content)
    if json is not None:
        write_json(json, {**content, "scored_on": scored_on})
    if csv is not None:
        write_csv(csv, *prediction_rows(scored, members))
    if plot is not None:
        _draw(scored, content, recalibrate, plot)


def _predict(
    own: "OwnImages",
    trained: "TrainedModel",
    words: str,
    dev: Path,
    outputs: list[Path | None],
    plot: Path | None,
) -> tuple["ScoredImages", "NDArray[np.float64]", str]:
    """Read the images, say whether they are known, and predict.

    Returns:
        them with their probabilities; those of each member, (M, N); what scored them.
    """
    from breast_ultrasound.data.dev_and_test import grouped
    from breast_ultrasound.data.own_images import read_own_images
    from breast_ultrasound.evaluation.external import ScoredImages
    from breast_ultrasound.model.arithmetic import limit_process
    from breast_ultrasound.model.classifier import predict

    card = trained.card
    scored_on = limit_process(card.config.training.arithmetic, "cpu")
    found, left_out = read_own_images(own, card.image_size)
    inputs = [Path(own.images, name) for name in found.name.tolist()]
    check_outputs(outputs, [*inputs, *([Path(own.images, own.table)] if own.table else [])])
    if plot is not None and plot.is_file():
        raise InputError(f"--plot: expected a folder, got the file {plot}")
    found = grouped(found, card.near_duplicate_correlation)
    known = known_thumbnails(trained, dev)
    if known is not None:
        typer.echo(_known(found, known, card.near_duplicate_correlation))
    say_left_out(left_out)
    predictions = predict(trained.classifier(), found.images, "cpu")
    scored = ScoredImages("", words, found, predictions.probability)
    return scored, predictions.member_probability, scored_on


def own_images(
    images: Path,
    image: str,
    label: str,
    patient: str | None,
    columns: list[str],
    malignant: str,
    benign: str,
    exclude: list[str],
) -> "OwnImages":
    """Return the options as the section of params.yaml that they stand for."""
    from pydantic import ValidationError

    from breast_ultrasound.params import ColumnParams, OwnImages

    if not images.exists():
        raise InputError(f"{images}: no such file or folder; give a table or a folder per class")
    if columns and images.is_dir():
        raise InputError(f"--by: expected a table with columns, got the folder {images}")
    try:
        return OwnImages(
            images=str(images.absolute() if images.is_dir() else images.absolute().parent),
            table=None if images.is_dir() else images.name,
            columns=ColumnParams(
                image=image, label=label, patient=patient, split=None, subgroups=columns
            ),
            malignant=_names(malignant),
            benign=_names(benign),
            exclude=exclude,
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "malignant, benign"
        raise InputError(f"--{where}: {first['msg'].removeprefix('Value error, ')}") from None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _known(found: "ImageSet", known: "NDArray[np.uint8]", correlation: float) -> str:
    """Return a line on whether the model learned from these images."""
    from breast_ultrasound.data.dev_and_test import find_known

    n_known = int(find_known(found.thumbnails, known, correlation).sum())
    if n_known:
        return (
            f"WARNING: the model has learned from {n_known} of these {len(found)} images, or "
            "near-duplicates of them: scores flatter it"
        )
    return f"{len(found)} images, none a near-duplicate of one that the model learned from"


def prediction_rows(
    scored: "ScoredImages", members: "NDArray[np.float64]"
) -> tuple[list[str], list[list[Any]]]:
    """Return a table of predictions, one row per image: column names, then rows."""
    images = scored.images
    columns = ["image", "patient", "label", "malignant", "malignant_probability", "lowest",
               "highest", *images.columns]  # fmt: skip
    values = [images.name, images.patient, images.label, images.malignant.astype(int),
              scored.probability, members.min(axis=0), members.max(axis=0),
              *images.columns.values()]  # fmt: skip
    return columns, [list(row) for row in zip(*(v.tolist() for v in values), strict=True)]


def show(content: Mapping[str, Any]) -> None:
    """Print the scores as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=max(100, Console().width))
    kinds = {name: content[name] for name in ("per_image", "per_patient", "recalibrated")
             if name in content}  # fmt: skip
    table = Table(*["score", *(kind.replace("_", " ") for kind in kinds)])
    table.add_row("images", *(f"{row['images']}, {row['malignant']} malignant"
                              for row in kinds.values()))  # fmt: skip
    for name in SHOWN:
        table.add_row(name.replace("_", " "), *(_cell(row, name) for row in kinds.values()))
    console.print(table)
    table = Table("operating point", "from", "sensitivity", "specificity")
    for name, row in content["operating_points"].items():
        cells = (_cell(row, score) for score in ("sensitivity", "specificity"))
        table.add_row(name, f"{row['threshold']:.3f}", *cells)
    console.print(table)
    for column, rows in content["subgroups"].items():
        table = Table(printable(column), "images", "malignant", "AUC", "sensitivity", "specificity")
        for value, row in rows.items():
            cells = (_cell(row, score) for score in ("auc", "sensitivity", "specificity"))
            counts = str(row["images"]), str(row["malignant"])
            table.add_row(printable(value), *counts, *cells)
        console.print(table)


def _cell(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        return "too few"
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def _draw(
    scored: "ScoredImages", content: Mapping[str, Any], recalibrate: bool, folder: Path
) -> None:
    from breast_ultrasound.evaluation.external import recalibrated
    from breast_ultrasound.evaluation.external_figures import curves, subgroup_forest

    curves(scored, recalibrated(scored) if recalibrate else None, folder / "curves.png")
    subgroup_forest(content, folder / "forest.png")
