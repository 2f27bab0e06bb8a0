"""Check the images, find near-twins, and part dev from test."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import ParamsFile, command


def main(
    raw: Annotated[Path, typer.Option(help="The downloaded file.")],
    dev: Annotated[Path, typer.Option(help="Written: official train and val images.")],
    test: Annotated[Path, typer.Option(help="Written: official test images.")],
    metrics: Annotated[Path, typer.Option(help="Written: counts.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of figures.")],
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Write dev and test with their near-twin groups and leak flags."""
    import numpy as np

    from breast_ultrasound.data.dataset import SPLITS, read_official
    from breast_ultrasound.data.twins import describe, dev_and_test, find_twins
    from breast_ultrasound.evaluation import figures
    from breast_ultrasound.files import write_json
    from breast_ultrasound.params import load_params

    settings = load_params(params)
    images, malignant, split = read_official(raw)
    twins = find_twins(images, settings.preprocess.twin_correlation)
    dev_set, test_set = dev_and_test(images, malignant, split, twins)
    counts = describe(malignant, split, twins, test_set)
    dev_set.save(dev)
    test_set.save(test)
    write_json(metrics, counts)
    figures.class_balance(malignant, split, plots / "class_balance.png")
    figures.sample_images(images, malignant, plots / "samples.png", settings.seed)
    label = np.where(malignant, "malignant", "benign")
    figures.twin_pairs(images, np.array(SPLITS)[split], label, twins, plots / "twins.png")
    twin_counts = counts["twins"]
    typer.echo(
        f"{twin_counts['pairs']} near-twin pairs, "
        f"{twin_counts['cross_split_pairs']} across splits; "
        f"{twin_counts['leaked_test_images']} of {len(test_set)} test images have a near-twin in "
        "train or val"
    )


app = command(main)
if __name__ == "__main__":
    app()
