"""The report's charts in Vega-Lite, the grammar of DVC's plots, as dictionaries.

Their colours read on light and on dark; the page sets those of axes and text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.evaluation.external import net_benefit
from breast_ultrasound.report.results import Headline, Results, Table

HEIGHT = 280  # pixels
THRESHOLDS = np.linspace(0.02, 0.30, 57)
MODELS = {"final": "#1b9e77", "baseline": "#8c8c8c", "another hospital": "#7570b3"}

Spec = dict[str, Any]


def forest(rows: Sequence[Headline], name: str, title: str) -> Spec:
    """Return scores with their intervals, one row each, in order."""
    data = alt.Data(
        values=[
            {
                "row": f"{row.scored_on}: {row.model}",
                "score": row.scores[name],
                "low": row.scores.get(f"{name}_low"),
                "high": row.scores.get(f"{name}_high"),
            }
            for row in rows
        ]
    )
    place = alt.Y("row:N", sort=None, title=None)
    lows = [row.scores.get(f"{name}_low", row.scores[name]) for row in rows]
    scale = alt.Scale(domain=[min([0.5, *lows]), 1])
    base = alt.Chart(data).encode(y=place)
    bars = base.mark_rule(strokeWidth=3, color=MODELS["final"]).encode(
        x=alt.X("low:Q", scale=scale, title=title), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=80, color=MODELS["final"], opacity=1).encode(
        x=alt.X("score:Q", scale=scale),
        tooltip=[
            alt.Tooltip("row:N", title="model"),
            *(alt.Tooltip(f"{end}:Q", format=".3f") for end in ("score", "low", "high")),
        ],
    )
    return _spec(alt.layer(bars, points), 40 * len(rows))


def lines(
    tables: Mapping[str, Table], x: tuple[str, str], y: tuple[str, str], diagonal: bool = False
) -> Spec:
    """Return a line per table.

    Args:
        tables: by the line's name, as of `MODELS`.
        x, y: the column and its title.
        diagonal: draw where y is x.
    """
    values = [
        {"line": name, "order": i, "x": float(row[x[0]]), "y": float(row[y[0]])}
        for name, rows in tables.items()
        for i, row in enumerate(rows)
    ]
    chart: Any = (
        alt.Chart(alt.Data(values=values))
        .mark_line(strokeWidth=2, point=len(values) < 60)
        .encode(
            x=alt.X("x:Q", title=x[1], scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("y:Q", title=y[1]),
            order="order:Q",
            color=_colours({name: MODELS.get(name, "#7570b3") for name in tables}),
        )
    )
    if diagonal:
        ends = alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}])
        line = alt.Chart(ends).mark_line(strokeDash=[4, 4], color="#8c8c8c")
        chart = alt.layer(line.encode(x="x:Q", y="y:Q"), chart)
    return _spec(chart)


def decision_curve(malignant: NDArray[np.bool_], probability: NDArray[np.float64]) -> Spec:
    """Return net benefit by threshold probability (Vickers and Elkin 2006).

    Args:
        malignant: (N,) bool.
        probability: (N,) float64 of malignant.
    """
    curves = {
        "the model": net_benefit(malignant, probability, THRESHOLDS),
        "all malignant": net_benefit(malignant, np.ones(len(malignant)), THRESHOLDS),
        "none malignant": np.zeros(len(THRESHOLDS)),
    }
    values = [
        {"line": name, "x": float(x), "y": float(y)}
        for name, curve in curves.items()
        for x, y in zip(THRESHOLDS, curve, strict=True)
    ]
    colours = dict(zip(curves, ("#1b9e77", "#d95f02", "#8c8c8c"), strict=True))
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("x:Q", title="threshold probability", scale=alt.Scale(domain=[0.02, 0.3])),
            y=alt.Y("y:Q", title="net benefit"),
            color=_colours(colours),
        )
    )
    return _spec(chart)


def rate_search(rows: Table) -> Spec:
    """Return the trials of the learning rate, those that were stopped early apart."""
    values = [
        {"lr": float(row["lr"]), "auc": float(row["auc"]), "ended": row["stopped"]}
        for row in rows
        if row["auc"]
    ]
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_point(size=80, filled=True, opacity=0.9)
        .encode(
            x=alt.X("lr:Q", title="learning rate", scale=alt.Scale(type="log")),
            y=alt.Y("auc:Q", title="mean AUC of the folds run", scale=alt.Scale(zero=False)),
            color=_colours({"finished": "#1b9e77", "pruned": "#8c8c8c"}),
            shape=alt.Shape("line:N", legend=None),
            tooltip=["lr:Q", alt.Tooltip("auc:Q", format=".3f"), "line:N"],
        )
        .transform_calculate(line="datum.ended")
    )
    return _spec(chart)


def grid_ranking(rows: Table, n_shown: int = 12) -> Spec:
    """Return the settings of the grid that scored best, in order."""
    values = [
        {"setting": row["setting"], "auc": float(row["auc"]), "line": row["stopped"]}
        for row in rows[:n_shown]
        if row["auc"]
    ]
    kinds = list(dict.fromkeys(row["stopped"] for row in rows[:n_shown] if row["auc"]))
    palette = ("#1b9e77", "#7570b3", "#d95f02", "#8c8c8c")
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_point(size=80, filled=True, opacity=1)
        .encode(
            x=alt.X("auc:Q", title="mean AUC of the folds run", scale=alt.Scale(zero=False)),
            y=alt.Y("setting:N", sort=None, title=None),
            color=_colours(dict(zip(kinds, palette, strict=False))),
            tooltip=["setting:N", alt.Tooltip("auc:Q", format=".3f")],
        )
    )
    return _spec(chart, 22 * len(values))


def devices(results: Results) -> list[Headline]:
    """Return the scores at the other hospital by device, for `forest`."""
    return [
        Headline("final", row["value"], {k: float(row[k]) for k in ("auc", "auc_low", "auc_high")})
        for row in results.tables.get("studies/external/subgroups", [])
        if row["column"] == "Device" and row["learned_from"] == "BreastMNIST, final" and row["auc"]
    ]


def _colours(by_name: Mapping[str, str]) -> alt.Color:
    scale = alt.Scale(domain=list(by_name), range=list(by_name.values()))
    return alt.Color("line:N", title=None, scale=scale, legend=alt.Legend(orient="top"))


def _spec(chart: Any, height: int = HEIGHT) -> Spec:
    spec: Spec = chart.properties(width="container", height=height).to_dict()
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec
