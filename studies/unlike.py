"""Whether images unlike the learned ones are told: another hospital's, and no ultrasound's."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import ParamsFile, command


def main(
    test: Annotated[Path, typer.Option(help="The test images: leak-free ones are like learned.")],
    final: Annotated[Path, typer.Option(help="Folder of the final model.")],
    metrics: Annotated[Path, typer.Option(help="Written: AUC of each kind, share warned of.")],
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Write how well the correlation with the nearest learned image tells images of other kinds."""
    from breast_ultrasound.data.busbra import find_busbra, read_busbra, reports
    from breast_ultrasound.data.image_set import ImageSet
    from breast_ultrasound.data.near_duplicates import nearest
    from breast_ultrasound.evaluation.unlike import no_ultrasound, told_apart
    from breast_ultrasound.files import InputError, write_json
    from breast_ultrasound.model.artifact import load_model
    from breast_ultrasound.params import load_params

    settings, model, images = load_params(params), load_model(final), ImageSet.load(test)
    cut, limit, known = model.card.near_duplicate_correlation, model.card.unlike_below, model.known
    if known is None or limit is None:
        raise InputError(f"{final}: expected a model that keeps thumbnails, as of public images")
    home = images.subset(~images.leaked)
    busbra = read_busbra(find_busbra(settings.data.search_path), images.side, cut)
    kinds = {"bus_bra": busbra.subset(reports(busbra))}
    kinds |= no_ultrasound(images.side, settings.seed)
    at_home = nearest(home.thumbnails, known, cut)[0]
    content = {"leak_free_test": {"images": len(home), "warned": float((at_home < limit).mean())}}
    for name, other in kinds.items():
        alike = nearest(other.thumbnails, known, cut)[0]
        row = {"images": len(other), "warned": float((alike < limit).mean())}
        row |= told_apart(home, other, at_home, alike, settings.evaluate.confidence)
        content[name] = row
        typer.echo(f"{name}: AUC {row['auc']:.3f}, {row['warned']:.0%} warned of")
    write_json(metrics, content)


app = command(main)
if __name__ == "__main__":
    app()
