"""Whether our near-duplicates are the experts', and which altered copies are found. Reads test."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import ParamsFile, command


def main(
    raw: Annotated[Path, typer.Option(help="The images of BreastMNIST.")],
    metrics: Annotated[Path, typer.Option(help="Written: agreement, and what is found at 0.95.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of tables and the contact sheet.")],
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Write recall and precision against the experts' list by cut, and altered copies found."""
    from breast_ultrasound.data import altered_copies
    from breast_ultrasound.data.busi import find_busi, read_expert_groups, read_files
    from breast_ultrasound.data.near_duplicates import find_near_duplicates
    from breast_ultrasound.data.source import read_source
    from breast_ultrasound.evaluation import duplicates
    from breast_ultrasound.files import write_csv, write_json
    from breast_ultrasound.params import load_params

    settings, images = load_params(params), read_source(raw)
    folder = find_busi(settings.data.search_path)
    files = read_files(folder, images)[1]
    experts = read_expert_groups(folder, files)
    cut = settings.preprocess.near_duplicate_correlation
    cuts, is_test = (cut, *duplicates.CUTS), images.split == "test"
    widest = find_near_duplicates(images.thumbnails, min(cuts))
    used, *rows = duplicates.agreement(widest, cuts, experts, is_test)
    write_csv(plots / "agreement.csv", duplicates.COLUMNS, [list(row.values()) for row in rows])
    columns, copies = altered_copies.rows_of(images.thumbnails, images.malignant)
    write_csv(plots / "altered_copies.csv", columns, copies)
    sheet, ours = plots / "disagreements.png", widest.above(cut).group
    alone = duplicates.draw_disagreements(images, files, ours, experts, sheet)
    agreed = {**used, "expert_pairs": len(duplicates.pairs_of(experts)), **alone}
    found = altered_copies.summarise(columns, copies)
    write_json(metrics, {"experts": agreed, "altered_copies": found})
    typer.echo(f"recall {used['recall']:.3f}, precision {used['precision']:.3f}")


app = command(main)
if __name__ == "__main__":
    app()
