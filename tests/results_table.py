"""The results table of the README, made from the committed metrics."""

import json
from typing import Any

from tests.workspace import ROOT

MODELS = {
    "baseline": "baseline: torchvision's ResNet-18, random weights",
    "final": "**final: the ensemble this project trains**",
}
PARTS = {"test": "all 156", "leak_free": "the 93 leak-free"}


def metrics(name: str) -> dict[str, Any]:
    """Return the content of a committed metrics file."""
    content: dict[str, Any] = json.loads((ROOT / "metrics" / f"{name}.json").read_text())
    return content


def rows() -> list[str]:
    """Return a line of Markdown for each model and part of the test images, then one for dev."""
    evaluate, validate = metrics("evaluate"), metrics("cross_validate")
    lines = []
    for model, words in MODELS.items():
        for part, images in PARTS.items():
            row = evaluate[model][part]
            cells = [
                f"{row[score]:.3f} [{row[f'{score}_low']:.3f}, {row[f'{score}_high']:.3f}]"
                for score in ("auc", "accuracy", "aupr", "f1")
            ]
            lines.append(f"| {words} | {images} | {' | '.join(cells)} |")
    single = evaluate["final"]["single"]["test"]
    cells = [f"{single[s]['mean']:.3f} ± {single[s]['sd']:.3f}" for s in ("auc", "accuracy")]
    lines.append(f"| one network of the ensemble | all 156 | {' | '.join(cells)} | | |")
    for name, folds in (("near-twins kept together", validate), ("not", validate["ungrouped"])):
        cells = [
            f"{folds[score]['mean']:.3f} ± {folds[score]['sd']:.3f}"
            for score in ("auc", "accuracy", "aupr", "f1")
        ]
        lines.append(f"| cross-validation on dev, {name} | | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    print("\n".join(rows()))
