"""Check the images, find near-duplicates, and split dev from test."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import ParamsFile, command


def main(
    raw: Annotated[Path, typer.Option(help="The images.")],
    raw_also_train: Annotated[Path, typer.Option(help="The images to learn from besides.")],
    dev: Annotated[Path, typer.Option(help="Written: the train and val images.")],
    test: Annotated[Path, typer.Option(help="Written: the test images.")],
    also_train: Annotated[Path, typer.Option(help="Written: images to learn from besides.")],
    metrics: Annotated[Path, typer.Option(help="Written: counts.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of figures.")],
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Write dev and test with their groups and leak flags, and what else to learn from."""
    from breast_ultrasound.data.dev_and_test import describe, notes, prepare
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.data.source import read_source
    from breast_ultrasound.evaluation.data_plots import write_data_plots
    from breast_ultrasound.files import write_json
    from breast_ultrasound.params import load_params

    settings = load_params(params)
    more = ImageSet.load(raw_also_train, may_be_empty=True)
    prepared = prepare(read_source(raw), more, settings)
    counts = describe(prepared)
    for path, images in ((dev, prepared.dev), (test, prepared.test)):
        images.save(path)
    prepared.also_train.save(also_train)
    write_json(metrics, counts)
    cut = settings.preprocess.near_duplicate_correlation
    name, shown = settings.data.name, settings.data.show_images
    show_images = shown or name != "images"
    write_data_plots(prepared.images, prepared.duplicates, cut, settings.seed, show_images, plots)
    typer.echo("\n".join(notes(counts, len(prepared.test))))


app = command(main)
if __name__ == "__main__":
    app()
