"""Get the images: official files, checked by their MD5, own images, or generated phantoms."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, ParamsFile, command, printable


def main(
    out: Annotated[Path, typer.Option(help="Written: the images.")],
    also_train: Annotated[Path, typer.Option(help="Written: images to learn from besides.")],
    params: ParamsFile = Path("params.yaml"),
    cache: Cache = None,
) -> None:
    """Put the images in one file, and those of data.also_train in another."""
    from breast_ultrasound.data.source import fetch, fetch_also_train
    from breast_ultrasound.params import load_params

    data = load_params(params).data
    lines = fetch(data, out, cache) + fetch_also_train(data.also_train, data.size, also_train)
    typer.echo("\n".join(map(printable, lines)))


app = command(main)
if __name__ == "__main__":
    app()
