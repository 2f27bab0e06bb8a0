"""The tables of README.md and docs/leakage.md, made from metrics and plots."""

import csv
import json
from collections.abc import Callable
from typing import Any

import yaml

from tools.workspace import ROOT

Read = Callable[[str], str]  # the text of a file of the project, by its path from the root
HEADLINES = ("auc", "accuracy")
MODELS = {
    "baseline": "baseline: torchvision's ResNet-18, random weights",
    "final": "**final: the ensemble this project trains**",
}


def read_workspace(path: str) -> str:
    """Return the text of a file as it lies in the workspace."""
    return (ROOT / path).read_text(encoding="utf-8")


def metrics(read: Read, name: str) -> dict[str, Any]:
    """Return the content of a metrics file."""
    content: dict[str, Any] = json.loads(read(f"metrics/{name}.json"))
    return content


def row_of(scores: dict[str, float]) -> str:
    """Return the cells of a model's scores, with intervals."""
    return " | ".join(_interval(scores, name) for name in (*HEADLINES, "aupr", "f1"))


def _interval(row: dict[str, float], name: str, sign: str = "") -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def rows(read: Read) -> list[str]:
    """Return a line of Markdown for each model and part of the test images, then one for dev."""
    evaluate, validate = metrics(read, "evaluate"), metrics(read, "cross_validate")
    data = metrics(read, "data")
    n_test, n_free = data["images"]["test"], data["near_duplicates"]["leak_free_test_images"]
    parts = (("test", f"all {n_test}"), ("leak_free", f"the {n_free} leak-free"))
    lines = [
        f"| {words} | {images} | {row_of(evaluate[model][part])} |"
        for model, words in MODELS.items()
        for part, images in parts
    ]
    for part, images in parts:
        single = evaluate["final"]["single"][part]
        cells = [f"{single[s]['mean']:.3f} ± {single[s]['sd']:.3f}" for s in HEADLINES]
        lines.append(f"| one network of the ensemble | {images} | {' | '.join(cells)} | | |")
    for name, folds in (
        ("near-duplicates kept together", validate),
        ("not", validate["ungrouped"]),
    ):
        cells = [
            f"{folds[score]['mean']:.3f} ± {folds[score]['sd']:.3f}"
            for score in (*HEADLINES, "aupr", "f1")
        ]
        lines.append(f"| cross-validation on dev, {name} | | {' | '.join(cells)} |")
    return lines


def _word(score: str) -> str:
    return "AUC" if score == "auc" else score


def aim_rows(read: Read) -> list[str]:
    """Return a line of Markdown for each score that has an aim: what, the value and the aim."""
    pooled, final = metrics(read, "cross_validate")["pooled"], metrics(read, "evaluate")["final"]
    single, test, free = final["single"]["test"], final["test"], final["leak_free"]
    n_seeds = yaml.safe_load(read("params.yaml"))["final"]["n_seeds"]
    table = (
        ("dev, AUC of one network, grouped folds", pooled["single_auc"], "0.880"),
        ("dev, AUC of the mean over the repeats", pooled["auc"], "0.890"),
        ("dev, accuracy of the mean over the repeats", pooled["accuracy"], "0.860"),
        (f"test, AUC of one network, mean of {n_seeds}", single["auc"]["mean"], "0.925"),
        (f"test, accuracy of one network, mean of {n_seeds}", single["accuracy"]["mean"], "0.888"),
        ("test, AUC of the ensemble", test["auc"], "0.935"),
        *(
            (f"leak-free, {_word(s)} of the ensemble", free[s], f"{test[s]:.3f}, as on test")
            for s in ("auc", "sensitivity", "specificity", "accuracy")
        ),
    )
    return [f"| {what} | {value:.3f} | {aim} |" for what, value, aim in table]


def part_rows(read: Read) -> list[str]:
    """Return a line of Markdown for each model and score: all, leak-free and leaked images."""
    models = {**metrics(read, "evaluate"), **metrics(read, "leakage")}
    return [
        f"| {name.replace('_', ' ')} | {_word(score)} | "
        + " | ".join(_interval(models[name][p], score) for p in ("test", "leak_free", "leaked"))
        + " |"
        for score in HEADLINES
        for name in ("baseline", "final", "control", "retrained", "nearest_neighbour")
    ]


LEAKAGE_ROWS = (
    ("baseline: leaked − leak-free images", "leaked_minus_leak_free", "baseline"),
    ("final: leaked − leak-free images", "leaked_minus_leak_free", "final"),
    ("retrained: leaked − leak-free images", "leaked_minus_leak_free", "retrained"),
    ("nearest neighbour: leaked − leak-free images", "leaked_minus_leak_free", "nearest_neighbour"),
    ("final − retrained, on leaked images", "final_minus_retrained", "leaked"),
    ("final − retrained, on leak-free images", "final_minus_retrained", "leak_free"),
    ("final − retrained, on all test images", "final_minus_retrained", "test"),
    ("control − retrained, on leaked images", "control_minus_retrained", "leaked"),
    ("control − retrained, on leak-free images", "control_minus_retrained", "leak_free"),
    ("control − retrained, on all test images", "control_minus_retrained", "test"),
)


def leakage_rows(read: Read) -> list[str]:
    """Return a line of Markdown for each effect of near-duplicates."""
    content, folds = (
        metrics(read, "leakage"),
        metrics(read, "cross_validate")["ungrouped_minus_grouped"],
    )
    lines = []
    for words, kind, name in LEAKAGE_ROWS:
        cells = [_interval(content[kind][name], score, "+") for score in HEADLINES]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    words = "cross-validation: folds that near-duplicates may cross − folds that they may not"
    return [*lines, f"| {words} | {_interval(folds, 'auc', '+')} | |"]


def _table(read: Read, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(read(f"plots/{name}").splitlines()))


def band_rows(read: Read) -> list[str]:
    """Return a line of Markdown for each band of correlations: do labels agree?"""
    return [
        f"| {row['correlation']} | {row['pairs']} | {row['opposite_labels']} | "
        f"{float(row['share']):.0%} |"
        for row in _table(read, "data/bands.csv")
    ]


def threshold_rows(read: Read) -> list[str]:
    """Return one line of Markdown per cut."""
    lines = []
    for counts, scores in zip(
        _table(read, "data/thresholds.csv"), _table(read, "test/thresholds.csv"), strict=True
    ):
        names = ("pairs", "cross_split_pairs", "opposite_labels", "groups", "leaked_test_images")
        cells = [
            f"{float(counts['near_duplicate_correlation']):.2f}",
            *(counts[name] for name in names),
        ]
        cells += [
            f"{float(scores[f'{model}_{score}']):.3f}"
            for model in ("baseline", "final")
            for score in HEADLINES
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def leaked_sentence(read: Read) -> str:
    """Return what the README says first of the data."""
    counts = metrics(read, "data")
    leaked, n_test = counts["near_duplicates"]["leaked_test_images"], counts["images"]["test"]
    return f"{leaked} of {n_test} official test images have a near-duplicate"


def expected_lines(read: Read) -> dict[str, list[str]]:
    """Return what each document must say, line by line, by the document's path."""
    evidence = (band_rows, threshold_rows, part_rows, leakage_rows)
    return {
        "README.md": [leaked_sentence(read), *rows(read), *aim_rows(read)],
        "docs/leakage.md": [line for table in evidence for line in table(read)],
    }


if __name__ == "__main__":
    tables = rows, aim_rows, band_rows, threshold_rows, part_rows, leakage_rows
    print("\n\n".join("\n".join(table(read_workspace)) for table in tables))
