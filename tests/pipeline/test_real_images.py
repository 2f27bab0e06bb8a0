"""The whole pipeline, with tiny budgets, on the real images that are at hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from tools.workspace import REAL, TINY, copy_without_git, environment, run

HERE = REAL.resolve().parent
BUSBRA: dict[str, Any] = {
    "images": str(HERE / "busbra"),
    "table": "bus_data.csv",
    "columns": {
        "image": "Images/{ID}.png",
        "label": "Pathology",
        "subgroups": ["Device"],
        "patient": "Case",
    },
    "benign": ["benign"],
}
BREASTMNIST = {"name": "breastmnist", "search_path": [str(HERE)]}
# BreastMNIST's sizes, a table as published, a folder per class, and a table to learn from besides.
DATA: dict[str, dict[str, Any]] = {
    **{f"breastmnist, {side} pixels": {**BREASTMNIST, "size": side} for side in (28, 64, 128, 224)},
    "a table by patient": {"name": "images", **BUSBRA},
    "a folder per class": {"name": "images", "images": str(HERE / "busi" / "images")},
    "breastmnist and a table": {**BREASTMNIST, "also_train": BUSBRA},
}
STRIDED = {"model": {"stem": "imagenet"}, "grid_search": {"loss": ["bce"]}}


@pytest.mark.slow
@pytest.mark.skipif(not (HERE / "busbra").exists(), reason="the images are not there")
@pytest.mark.parametrize("name", DATA)
def test_the_pipeline_runs_from_end_to_end(name: str, tmp_path: Path) -> None:
    folder = copy_without_git(tmp_path / "project", TINY, STRIDED, {"data": DATA[name]})
    run(["dvc", "repro"], folder, environment(folder / "cache"))
    counts = json.loads((folder / "metrics" / "data.json").read_text())
    evaluate = json.loads((folder / "metrics" / "evaluate.json").read_text())
    assert 0 <= evaluate["final"]["test"]["auc"] <= 1
    n_images = sum(counts["images"].values())
    kept = [path for place in ("models", "cache") for path in (folder / place).rglob("*")]
    holding = _with_pixels([path for path in kept if path.is_file()], folder)
    # Models of public images keep thumbnails of them, which are BreastMNIST's 28-pixel images.
    public = DATA[name]["name"] == "breastmnist"
    assert {path.name for path in holding} == ({"known.safetensors"} if public else set())
    if name == "a table by patient":
        assert n_images == 935
        assert counts["patients"]["patients"] == 532
        assert counts["patients"]["in_two_splits"] == 0
    elif name == "a folder per class":
        assert n_images == 57
        assert "patients" not in counts
    else:
        assert n_images == 780
    also_train = counts.get("also_train", {"images": 0, "near_duplicates_left_out": 0})
    n_more = also_train["images"] + also_train["near_duplicates_left_out"]
    assert n_more == (935 if name == "breastmnist and a table" else 0)


def _with_pixels(paths: list[Path], folder: Path) -> list[Path]:
    """Return the files that hold a row of pixels of an image that was learned from."""
    assert paths
    dev = ImageSet.load(folder / "data" / "processed" / "dev.npz")
    rows = [
        row.tobytes()
        for images in (dev.images[:20], dev.thumbnails[:20])
        for image in images
        for row in (image[image.shape[0] // 2], image[image.shape[0] // 3])
        if len(np.unique(row)) > 9  # no even grey, which weights may have by chance
    ]
    assert len(rows) > 20
    return [path for path in paths if any(row in path.read_bytes() for row in rows)]
