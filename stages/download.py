"""Get the images: the official file, checked by its MD5, or generated phantoms."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import Cache, ParamsFile, command


def main(
    out: Annotated[Path, typer.Option(help="The file to write.")],
    params: ParamsFile = Path("params.yaml"),
    cache: Cache = None,
) -> None:
    """Put the images in one file in BreastMNIST's format."""
    from breast_ultrasound.params import load_params

    settings = load_params(params)
    if settings.data.name == "phantom":
        from breast_ultrasound.data.phantom import make_phantoms
        from breast_ultrasound.files import write_arrays

        write_arrays(out, make_phantoms(settings.data.n_phantoms, settings.data.phantom_seed))
        typer.echo(f"{out}: {settings.data.n_phantoms} generated phantoms, not real images")
    else:
        from breast_ultrasound.data.source import fetch_official

        origin = fetch_official(settings.data.search_path, out, cache)
        typer.echo(f"{out}: the official file, from {origin}, MD5 verified")


app = command(main)
if __name__ == "__main__":
    app()
