"""The card of the shipped model, in Hugging Face's format, from metrics and model.json."""

from collections.abc import Mapping
from string import Template
from typing import Any

import yaml

from tools.tables import Read, csv_rows, interval, metrics, table
from tools.workspace import ROOT

TEMPLATE = ROOT / "tools/model_card.md"
SCORES = ("auc", "accuracy", "sensitivity", "specificity", "brier", "calibration_slope",
          "calibration_in_the_large")  # fmt: skip
NAMES = {"auc": "AUC", "brier": "Brier score"}
TYPES = {"auc": "roc_auc", "accuracy": "accuracy"}  # Hugging Face's names of metrics

Scored = Mapping[str, Mapping[str, float]]  # scores by what was scored


def card(read: Read, model: Mapping[str, Any]) -> str:
    """Return the text of models/release/README.md.

    Args:
        model: the content of the model's `model.json`.
    """
    final = metrics(read, "evaluate")["final"]
    scored = {
        "BUS-BRA, cases that chose nothing": metrics(read, "studies/external")[
            "breastmnist_final_on_bus_bra"
        ],
        "BreastMNIST, clean splits": metrics(read, "studies/clean_split")["evaluate"]["final"][
            "test"
        ],
        "BreastMNIST, test": final["test"],
        "BreastMNIST, test, leak-free": final["leak_free"],
    }
    head = yaml.safe_dump(_metadata(scored), sort_keys=False, allow_unicode=True)
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    return f"---\n{head}---\n\n{template.substitute(_values(read, model, scored))}"


def _metadata(scored: Scored) -> dict[str, Any]:
    results = [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": name, "type": name.split(",")[0].lower()},
            "metrics": [{"type": TYPES[score], "value": row[score]} for score in TYPES],
        }
        for name, row in scored.items()
    ]
    return {
        "license": "apache-2.0",
        "pipeline_tag": "image-classification",
        "tags": ["medical", "ultrasound", "breast", "medmnist", "calibration"],
        "metrics": list(TYPES.values()),
        "model-index": [{"name": "breast-ultrasound", "results": results}],
    }


def _values(read: Read, model: Mapping[str, Any], scored: Scored) -> dict[str, str]:
    counts = metrics(read, "data")
    images, config = counts["images"], model["config"]
    network, training = config["model"], config["training"]
    looks = metrics(read, "studies/explanations")["malignant"]
    elsewhere = next(iter(scored.values()))
    values = {
        "n_members": len(model["seeds"]),
        "side": model["image_size"],
        "sensitivity_elsewhere": f"{elsewhere['sensitivity']:.0%}",
        "n_dev": images["train"] + images["val"],
        "n_test": images["test"],
        "n_leaked": counts["near_duplicates"]["leaked_test_images"],
        "n_test_malignant": counts["malignant"]["test"],
        **{name: network[name] for name in ("stem", "width", "dropout")},
        "blocks": ", ".join(map(str, network["blocks"])),
        **{name: training[name] for name in ("loss", "n_epochs")},
        "lr": f"{config['lr']:g}",
        "torch": model["versions"]["torch"],
        "trained_on": model["trained_on"],
        **{name: f"{looks[name]:.0%}" for name in ("share", "other_maps", "area")},
        **_tables(read, model, scored),
    }
    return {name: str(value) for name, value in values.items()}


def _tables(read: Read, model: Mapping[str, Any], scored: Scored) -> dict[str, str]:
    points = [[name, f"{value:.3f}"] for name, value in model["operating_points"].items()]
    scores = [
        [NAMES.get(name, name.replace("_", " ")), *(interval(row, name) for row in scored.values())]
        for name in SCORES
    ]
    devices = []
    for row in csv_rows(read, "studies/external/subgroups.csv"):
        own = (row["column"], row["learned_from"]) == ("Device", "BreastMNIST, final")
        if own and row["auc"]:
            auc = {name: float(row[name]) for name in ("auc", "auc_low", "auc_high")}
            devices.append([row["value"], row["images"], row["malignant"], interval(auc, "auc")])
    tables = {
        "points": (["operating point", "malignant from"], points),
        "scores": (["", *scored], scores),
        "devices": (["device", "images", "malignant", "AUC"], devices),
    }
    return {name: "\n".join(table(*parts)) for name, parts in tables.items()}
