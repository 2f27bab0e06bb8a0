"""One self-contained page of results: no request leaves it."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import vl_convert
from jinja2 import Environment, PackageLoader
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import atomic
from breast_ultrasound.model.artifact import TrainedModel
from breast_ultrasound.model.classifier import predict
from breast_ultrasound.report import charts
from breast_ultrasound.report.gallery import Mistake, mistakes
from breast_ultrasound.report.results import (
    HEADLINES,
    Headline,
    Results,
    changed_params,
    compared,
    headlines,
    read_results,
    revision,
    workspace,
)

PACKAGES = ("torch", "torchvision", "scikit-learn", "numpy", "scipy", "optuna", "dvc")
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


@dataclass(frozen=True)
class Scored:
    """The final model's predictions of test, for the decision curve and the slider.

    Attributes:
        malignant: (N,) bool.
        probability: (N,) float64.
        points: thresholds by name.
    """

    malignant: NDArray[np.bool_]
    probability: NDArray[np.float64]
    points: Mapping[str, float]

    def rows(self) -> dict[str, list[Any]]:
        """Return what the slider counts."""
        rounded = [round(p, 6) for p in self.probability.tolist()]
        return {"probability": rounded, "malignant": self.malignant.tolist()}


@dataclass(frozen=True)
class Chart:
    """A chart, what it shows in a sentence for those who do not see it, and its heading."""

    name: str
    heading: str
    words: str
    spec: charts.Spec


def write_report(
    path: Path,
    trained: TrainedModel,
    images: ImageSet,
    model: str,
    shown: bool,
    against: str | None = None,
) -> None:
    """Write the page of the project in the current folder.

    Args:
        images: of test.
        model: which was asked, in words.
        shown: whether own images may be shown, which may be private.
        against: a revision to compare with.

    Raises:
        InputError: there are no metrics, or no such revision.
    """
    here = Path()
    results, before = read_results(workspace(here), "this folder"), None
    if against is not None:
        before = against, read_results(revision(here, against), f"--against {against}")
    classifier = trained.classifier()
    probability = predict(classifier, images.images, "cpu").probability
    scored = Scored(images.malignant, probability, trained.card.operating_points)
    may = shown or not results.of_own_images()
    found = mistakes(classifier, images, probability) if may else None
    with atomic(path) as temporary:
        page = render(results, scored, found, model, before, here)
        temporary.write_text(page, encoding="utf-8")


def render(
    results: Results,
    scored: Scored,
    mistakes: Sequence[Mistake] | None,
    model: str,
    against: tuple[str, Results] | None,
    root: Path,
) -> str:
    """Return the page.

    Args:
        mistakes: None where images may not be shown.
        model: which was asked, in words.
        against: a revision's name and what was found there.
    """
    environment = Environment(
        loader=PackageLoader("breast_ultrasound.report"), autoescape=True, trim_blocks=True
    )
    rows = headlines(results)
    drawn = _charts(results, scored, rows)
    return environment.get_template("page.html").render(
        headlines=rows,
        scores=HEADLINES,
        leak=_leak(results),
        charts=drawn,
        specs={chart.name: chart.spec for chart in drawn},
        scored=scored,
        chosen=results.metrics.get("grid_search", {}).get("chosen", {}),
        rate=results.metrics.get("tune_lr", {}).get("lr"),
        mistakes=mistakes,
        params=results.params,
        confidence=round(100 * results.confidence()),
        other_studies=results.other_studies,
        provenance=_provenance(results, model, root),
        against=_against(results, rows, against),
        style=_text("page.css"),
        script=_text("page.js"),
        bundle=_bundle(),
    )


def _text(name: str) -> str:
    return (resources.files("breast_ultrasound.report") / "templates" / name).read_text("utf-8")


def _bundle() -> str:
    """Return Vega, Vega-Lite and its embedding as one script."""
    text = vl_convert.javascript_bundle(None, VEGA_LITE)  # type: ignore[arg-type]
    return text.replace("</script", "<\\/script")


def _charts(results: Results, scored: Scored, rows: Sequence[Headline]) -> list[Chart]:
    tables = results.tables

    def both(curve: str) -> dict[str, Any]:
        names = {model: f"test/{curve}_{model}" for model in ("final", "baseline")}
        return {model: tables[name] for model, name in names.items() if name in tables}

    false, true = ("false_positive_rate", "1 − specificity"), ("true_positive_rate", "sensitivity")
    recall, precision = ("recall", "sensitivity (recall)"), ("precision", "precision")
    said, share = ("probability", "mean probability"), ("share_malignant", "share malignant")
    coverage, risk = ("coverage", "share decided"), ("risk", "share of decisions wrong")
    referred = both("risk_coverage")
    if (elsewhere := tables.get("studies/external/risk_coverage_final")) is not None:
        referred["another hospital"] = elsewhere
    devices = charts.devices(results)
    found = [
        Chart("auc", "Area under the ROC curve", "AUC with its interval, by what was scored.",
              charts.forest(rows, "auc", "AUC")),
        Chart("roc", "ROC", "Sensitivity by false-positive rate on test.",
              charts.lines(both("roc"), false, true, diagonal=True)),
        Chart("pr", "Precision and recall", "Precision by sensitivity on test.",
              charts.lines(both("pr"), recall, precision)),
        Chart("calibration", "Calibration", "Share of malignant images by predicted probability.",
              charts.lines(both("calibration"), said, share, diagonal=True)),
        Chart("decision", "Decision curve", "Net benefit by threshold probability, on test.",
              charts.decision_curve(scored.malignant, scored.probability)),
        Chart("referral", "Risk and coverage",
              "Share of wrong decisions when the most uncertain images are referred to a reader.",
              charts.lines(referred, coverage, risk)),
        Chart("devices", "Another hospital, by device", "AUC with its interval, by device.",
              charts.forest(devices, "auc", "AUC")) if devices else None,
        Chart("rates", "Search of the learning rate", "Mean AUC of folds by learning rate.",
              charts.rate_search(tables["tune_lr"])) if tables.get("tune_lr") else None,
        Chart("grid", "Grid search, the best settings", "Mean AUC of folds by setting.",
              charts.grid_ranking(tables["grid_search"])) if tables.get("grid_search") else None,
    ]  # fmt: skip
    return [chart for chart in found if chart is not None]


def _leak(results: Results) -> dict[str, Any]:
    """Return what is known of near-duplicates: counts, and what they are worth on folds."""
    found: dict[str, Any] = {}
    if counts := results.metrics.get("data"):
        found["images"] = counts["near_duplicates"]["leaked_test_images"]
        found["n_test"] = counts["images"]["test"]
    if leakage := results.metrics.get("studies/leakage"):
        found["folds"] = leakage["folds"]["ungrouped_minus_grouped"]
    return found


def _provenance(results: Results, model: str, root: Path) -> dict[str, str]:
    evaluate = results.metrics["evaluate"]
    folds = results.metrics.get("cross_validate", {})
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return {
        "code": _commit(root),
        "model": model,
        "networks trained on": str(folds.get("trained_on", "unknown")),
        "test scored on": str(evaluate["scored_on"]),
        "page made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "with": f"Python {platform.python_version()}, {versions}",
    }


def _commit(root: Path) -> str:
    from scmrepo.exceptions import SCMError
    from scmrepo.git import Git

    try:
        git = Git(str(root))
        name, dirty = git.get_rev(), git.is_dirty()
    except SCMError:
        return "no git commit"
    return f"commit {name[:12]}{', with changes that are not committed' if dirty else ''}"


def _against(
    results: Results, rows: Sequence[Headline], against: tuple[str, Results] | None
) -> dict[str, Any] | None:
    if against is None:
        return None
    name, before = against
    return {
        "name": name,
        "scores": compared(rows, headlines(before)),
        "params": changed_params(before.params, results.params),
    }
