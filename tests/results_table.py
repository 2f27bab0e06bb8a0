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


LEAKAGE_ROWS = (
    ("baseline: leaked − leak-free images", "leaked_minus_leak_free", "baseline"),
    ("final: leaked − leak-free images", "leaked_minus_leak_free", "final"),
    ("retrained: leaked − leak-free images", "leaked_minus_leak_free", "retrained"),
    ("nearest neighbour: leaked − leak-free images", "leaked_minus_leak_free", "nearest_neighbour"),
    ("final − retrained, on leaked images", "final_minus_retrained", "leaked"),
    ("final − retrained, on leak-free images", "final_minus_retrained", "leak_free"),
    ("final − retrained, on all test images", "final_minus_retrained", "test"),
    ("nearest neighbour, on leaked images", "nearest_neighbour", "leaked"),
    ("nearest neighbour, on leak-free images", "nearest_neighbour", "leak_free"),
)


def leakage_rows() -> list[str]:
    """Return a line of Markdown for each effect of near-twins."""
    content = metrics("leakage")
    lines = []
    for words, kind, name in LEAKAGE_ROWS:
        row = content[kind][name]
        sign = "+" if "−" in words else ""
        cells = [
            f"{row[s]:{sign}.3f} [{row[f'{s}_low']:{sign}.3f}, {row[f'{s}_high']:{sign}.3f}]"
            for s in ("auc", "accuracy")
        ]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return lines


def threshold_rows() -> list[str]:
    """Return a line of Markdown for each correlation from which images might count as twins."""
    lines = []
    for line in (ROOT / "plots" / "test" / "thresholds.csv").read_text().splitlines()[1:]:
        threshold, images, malignant, *values = line.split(",")
        cells = [f"{float(value):.3f}" for value in values]
        lines.append(f"| {float(threshold):.2f} | {images} | {malignant} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    print("\n".join([*rows(), "", *leakage_rows(), "", *threshold_rows()]))
