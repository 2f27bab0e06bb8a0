"""`breast-ultrasound report`: one page of all results, for people without DVC."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.cli.options import (
    Model,
    check_outputs,
    check_suffix,
    open_model,
    say_model,
)
from breast_ultrasound.files import InputError


def report(
    out: Annotated[Path, typer.Option(help="Written: a page of HTML.")] = Path("report.html"),
    model: Model = None,
    test: Annotated[Path, typer.Option(help="The test images.")] = Path("data/processed/test.npz"),
    against: Annotated[
        str | None, typer.Option(help="Commit, tag, branch or experiment to compare with.")
    ] = None,
    show_images: Annotated[
        bool, typer.Option(help="Show own images too, which may be private.")
    ] = False,
) -> None:
    """Write what the pipeline and its studies found as one page that needs nothing else.

    Run in the project's folder. Curves, a slider for the threshold, the searches, mistakes with
    maps, and where it all comes from.
    """
    if not test.is_file():
        raise InputError(
            f"{test}: no such file; run `dvc repro preprocess` in the project's folder"
        )
    check_suffix(out, ".html")
    if against == "":
        raise InputError("--against: expected a commit, tag, branch or experiment, got nothing")
    check_outputs([out], [test])
    folder, trained = open_model(model)
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.report.page import write_report

    images = ImageSet.load(test)
    if others := set(images.split.tolist()) - {"test"}:
        raise InputError(f"--test: expected test images alone, got {min(others)} too")
    write_report(out, trained, images, str(folder), show_images, against)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, drawn without the internet")
    say_model(model, folder)
