"""Check the images, find near-duplicates, and split dev from test."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import ParamsFile, command


def main(
    raw: Annotated[Path, typer.Option(help="The downloaded file.")],
    dev: Annotated[Path, typer.Option(help="Written: the train and val images.")],
    test: Annotated[Path, typer.Option(help="Written: the test images.")],
    metrics: Annotated[Path, typer.Option(help="Written: counts.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of figures.")],
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Write dev and test with their near-duplicate groups and leak flags."""
    from breast_ultrasound.data.dataset import read_official
    from breast_ultrasound.data.near_duplicates import describe, dev_and_test, find_near_duplicates
    from breast_ultrasound.data.resplit import clean_split
    from breast_ultrasound.evaluation.data_plots import write_data_plots
    from breast_ultrasound.files import write_json
    from breast_ultrasound.params import load_params

    settings = load_params(params)
    images, malignant, split = read_official(raw)
    cut = settings.preprocess.near_duplicate_correlation
    duplicates = find_near_duplicates(images, cut)
    if settings.data.split == "clean":
        split = clean_split(malignant, duplicates.group, split, settings.seed)
    dev_set, test_set = dev_and_test(images, malignant, split, duplicates)
    counts = describe(malignant, split, duplicates, dev_set, test_set)
    dev_set.save(dev)
    test_set.save(test)
    write_json(metrics, counts)
    write_data_plots(images, malignant, split, duplicates, cut, settings.seed, plots)
    duplicate_counts = counts["near_duplicates"]
    typer.echo(
        f"{duplicate_counts['pairs']} near-duplicate pairs, "
        f"{duplicate_counts['cross_split_pairs']} across splits; "
        f"{duplicate_counts['leaked_test_images']} of {len(test_set)} test images have a "
        "near-duplicate in train or val"
    )


app = command(main)
if __name__ == "__main__":
    app()
