"""Which altered copies each way of comparing finds. Reads all images, test too."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import command


def main(
    raw: Annotated[Path, typer.Option(help="The downloaded file.")],
    metrics: Annotated[Path, typer.Option(help="Written: the project's own way, at 0.95.")],
    table: Annotated[Path, typer.Option(help="Written: one row per method and threshold.")],
) -> None:
    """Write how many altered copies each method finds, and how many pairs among originals."""
    from breast_ultrasound.data.altered_copies import rows_of, summarise
    from breast_ultrasound.data.source import read_source
    from breast_ultrasound.files import write_csv, write_json

    images = read_source(raw)
    columns, rows = rows_of(images.thumbnails, images.malignant)
    write_csv(table, columns, rows)
    write_json(metrics, summarise(columns, rows))
    typer.echo(f"{len(rows)} methods and thresholds")


app = command(main)
if __name__ == "__main__":
    app()
