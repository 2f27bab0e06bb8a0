"""What a report says of a revision: its metrics, tables and parameters, read as files."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from breast_ultrasound.files import InputError

Read = Callable[[str], str | None]  # the text of a file by its path from the root, if it is there

METRICS = ("data", "tune_lr", "grid_search", "cross_validate", "evaluate")
STUDIES = ("studies/external", "studies/clean_split", "studies/leakage")
CURVES = ("roc", "pr", "calibration", "risk_coverage")
TABLES = (
    "tune_lr",
    "grid_search",
    *(f"test/{curve}_{model}" for curve in CURVES for model in ("final", "baseline")),
    "studies/external/risk_coverage_final",
    "studies/external/subgroups",
)
HEADLINES = ("auc", "accuracy", "sensitivity", "specificity")

Table = list[dict[str, str]]


@dataclass(frozen=True)
class Results:
    """What was found at one revision, or in the workspace.

    Attributes:
        metrics: by name, as `evaluate` or `studies/external`; without those that are not there.
        tables: rows of plots/, by name, likewise.
        params: the text of params.yaml.
        other_studies: whether the studies are of another final model, and were left out.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, Table]
    params: str
    other_studies: bool

    def confidence(self) -> float:
        """Return what share of intervals is to cover."""
        return float(yaml.safe_load(self.params)["evaluate"]["confidence"])

    def of_own_images(self) -> bool:
        """Return whether the images may be private: not public ones, nor to be shown."""
        data = yaml.safe_load(self.params)["data"]
        return bool(data["name"] == "images" and not data["show_images"])


@dataclass(frozen=True)
class Headline:
    """Scores of one model on one set of images, each with the ends of its interval or without."""

    model: str
    scored_on: str
    scores: Mapping[str, float]


def read_results(read: Read, where: str) -> Results:
    """Read what a report needs.

    Args:
        where: what is read, in words, for messages.

    Raises:
        InputError: there are no metrics of `evaluate` or no parameters, or a file is damaged.
    """
    params = read("params.yaml")
    metrics: dict[str, Any] = {}
    for name in (*METRICS, *STUDIES):
        path = f"metrics/{name}.json"
        if (text := read(path)) is not None:
            metrics[name] = _parsed(text, path, where)
    if params is None or "evaluate" not in metrics:
        raise InputError(f"{where}: no params.yaml and metrics/evaluate.json; run `make repro`")
    texts = {name: read(f"plots/{name}.csv") for name in TABLES}
    tables = {n: list(csv.DictReader(io.StringIO(text))) for n, text in texts.items() if text}
    try:
        other = not _same_model(metrics)
        if other:
            metrics = {name: row for name, row in metrics.items() if name not in STUDIES}
            tables = {n: rows for n, rows in tables.items() if not n.startswith("studies")}
        results = Results(metrics, tables, params, other)
        headlines(results), results.confidence(), results.of_own_images()  # all of it is there
    except (KeyError, TypeError, ValueError, yaml.YAMLError):
        raise InputError(
            f"{where}: params.yaml and metrics are not as this version writes them; run `make "
            "repro`, or compare with a later revision"
        ) from None
    return results


def _parsed(text: str, path: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path}, {where}: no JSON object; run the stage that writes it again")
    return content


def _same_model(metrics: Mapping[str, Any]) -> bool:
    """Return whether the studies know the final model's score on test, where they are there."""
    score = metrics["evaluate"]["final"]["test"]["auc"]
    external, leakage = (metrics.get(f"studies/{name}") for name in ("external", "leakage"))
    known = [
        *([external["breastmnist_final_on_test"]["auc"]] if external else []),
        *([leakage["final"]["test"]["auc"]] if leakage else []),
    ]
    return all(auc == score for auc in known)


def workspace(root: Path) -> Read:
    """Return what reads files as they lie."""

    def read(path: str) -> str | None:
        file = root / path
        return file.read_text(encoding="utf-8") if file.is_file() else None

    return read


def revision(root: Path, name: str) -> Read:
    """Return what reads files of a commit, tag, branch or experiment, through DVC.

    Raises:
        InputError: there is no such revision, or no DVC repository.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        files = DVCFileSystem(str(root), rev=name)
        files.ls("/")
    except (DvcException, SCMError) as error:
        words = str(error).splitlines()[0]
        raise InputError(f"--against: {words}; give a commit, tag, branch or experiment") from None

    def read(path: str) -> str | None:
        if not files.isfile(path):
            return None
        text: str = files.read_text(path, encoding="utf-8")
        return text

    return read


def headlines(results: Results) -> list[Headline]:
    """Return what a reader should see first: elsewhere, clean, in folds, then the official test."""
    metrics, n_test = results.metrics, results.metrics.get("data", {}).get("images", {}).get("test")
    final, baseline = metrics["evaluate"]["final"], metrics["evaluate"]["baseline"]
    rows = []
    if elsewhere := metrics.get("studies/external"):
        alone = elsewhere["breastmnist_final_on_bus_bra"]
        rows.append(("final", f"another hospital, {alone['images']} images", alone))
        rows.append(("with its other patients", "the same images", elsewhere["both_on_bus_bra"]))
    if clean := metrics.get("studies/clean_split"):
        rows.append(("final", "test of clean splits", clean["evaluate"]["final"]["test"]))
    if folds := metrics.get("cross_validate"):
        rows.append(("networks of folds", "dev, folds that no search used", folds["pooled"]))
    words = "official test" if n_test is None else f"test, {n_test} images"
    rows.append(("final", words, final["test"]))
    if "leak_free" in final:
        rows.append(("final", "leak-free test", final["leak_free"]))
    rows.append(("baseline", words, baseline["test"]))
    return [Headline(model, where, scores) for model, where, scores in rows]


def changed_params(old: str, new: str) -> list[tuple[str, str, str]]:
    """Return the parameters that differ, by dotted name: before and now."""
    before, now = (_flat(yaml.safe_load(text)) for text in (old, new))
    return [
        (name, before.get(name, "–"), now.get(name, "–"))
        for name in sorted(before | now)
        if before.get(name) != now.get(name)
    ]


def _flat(tree: Any, prefix: str = "") -> dict[str, str]:
    if not isinstance(tree, dict):
        return {prefix: json.dumps(tree)}
    return {
        name: value
        for key, branch in tree.items()
        for name, value in _flat(branch, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def compared(now: Sequence[Headline], before: Sequence[Headline]) -> list[dict[str, Any]]:
    """Return rows of the scores that both revisions have, with the differences of AUC."""
    old = {(row.model, row.scored_on): row.scores for row in before}
    return [
        {
            "model": row.model,
            "scored_on": row.scored_on,
            "before": old[row.model, row.scored_on]["auc"],
            "now": row.scores["auc"],
        }
        for row in now
        if (row.model, row.scored_on) in old
    ]
