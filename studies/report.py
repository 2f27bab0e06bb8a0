"""All results as one page."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import command


def main(
    test: Annotated[Path, typer.Option(help="The test images.")],
    final: Annotated[Path, typer.Option(help="Folder of the final model.")],
    out: Annotated[Path, typer.Option(help="Written: the page.")],
) -> None:
    """Write the page of what the pipeline and the other studies found."""
    from breast_ultrasound.model.arithmetic import limit_process
    from breast_ultrasound.model.artifact import load_model

    model = load_model(final)
    limit_process(model.card.config.training.arithmetic, "cpu")

    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.report.page import write_report

    write_report(out, model, ImageSet.load(test), str(final), shown=False)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


app = command(main)
if __name__ == "__main__":
    app()
