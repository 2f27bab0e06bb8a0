"""Whether what the model looks at is the lesion, on another hospital's images with masks."""

from pathlib import Path
from typing import Annotated

import typer

from breast_ultrasound.console import ParamsFile, command

N_SHOWN = 8  # images of each class in the figure


def main(
    final: Annotated[Path, typer.Option(help="Folder of the final model.")],
    metrics: Annotated[Path, typer.Option(help="Written: shares on the lesion, and chance.")],
    plots: Annotated[Path, typer.Option(help="Written: folder of the figure.")],
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Write how much of the maps of BUS-BRA's reporting images lies on the lesion."""
    from breast_ultrasound.model.arithmetic import limit_process
    from breast_ultrasound.model.artifact import load_model
    from breast_ultrasound.params import load_params

    settings, model = load_params(params), load_model(final)
    card = model.card
    scored_on = limit_process(card.config.training.arithmetic, "cpu")

    import numpy as np

    from breast_ultrasound.data.busbra import find_busbra, read_busbra, read_masks, reports
    from breast_ultrasound.evaluation.explanation import draw, maps_of, on_lesions
    from breast_ultrasound.files import write_json
    from breast_ultrasound.model.classifier import predict

    folder = find_busbra(settings.data.search_path)
    images = read_busbra(folder, card.image_size, card.near_duplicate_correlation)
    images = images.subset(reports(images))
    masks, classifier = read_masks(folder, images), model.classifier()
    maps = maps_of(classifier, images.images)
    content, shown = {}, []
    for name in ("malignant", "benign"):
        own = np.nonzero(images.malignant == (name == "malignant"))[0]
        confidence = settings.evaluate.confidence
        content[name] = on_lesions(maps[own], masks[own], images.patient[own], confidence)
        shown += own[:: max(1, len(own) // N_SHOWN)][:N_SHOWN].tolist()
        row = content[name]
        typer.echo(f"{name}: {row['share']:.2f} on the lesion, {row['other_maps']:.2f} by chance")
    probability = predict(classifier, images.images[shown], "cpu").probability
    titles = [f"{images.label[i]}, {p:.2f}" for i, p in zip(shown, probability, strict=True)]
    draw(images.images[shown], maps[shown], titles, plots / "maps.png")
    write_json(metrics, {**content, "scored_on": scored_on})


app = command(main)
if __name__ == "__main__":
    app()
