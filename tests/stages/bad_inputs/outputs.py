"""Outputs that cannot be written, or would be over what is read."""

from pathlib import Path

import numpy as np
from PIL import Image

from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.files import write_arrays
from tests.stages.bad_inputs.cases import Prepare, add, case


def write_pictures(folder: Path) -> Path:
    """Make a set of two splits of noise; return one picture, for a test to spoil."""
    rng = np.random.default_rng(0)
    for i in range(6):
        split = folder / "set" / ("train" if i < 4 else "test")
        split.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (28, 28)).astype("u1")).save(split / f"{i}.png")
    return folder / "set" / "train" / "0.png"


def of_pictures(*arguments: str) -> Prepare:
    """Give arguments beside a set of pictures, none of them spoilt."""

    def prepare(folder: Path) -> list[str]:
        write_pictures(folder)
        return ["set", *arguments]

    return prepare


add("audit", "a folder for an output", of_pictures("--json", "set"))


@case("resplit", "the file itself as output")
def _(folder: Path) -> list[str]:
    write_arrays(folder / "a.npz", make_phantoms(90, seed=0))
    return ["a.npz", "a.npz"]


@case("download", "a file where a folder should be")
def _(folder: Path) -> list[str]:
    (folder / "taken").write_text("")
    return ["--out", "taken/breastmnist.npz"]


@case("download", "a folder that cannot be written")
def _(folder: Path) -> list[str]:
    return ["--out", "/proc/here/breastmnist.npz"]  # not by root either


@case("cross_validate", "a cache folder that cannot be written")
def _(folder: Path) -> list[str]:
    return ["--cache", "/proc/here"]


@case("cache", "a cache in a home that is not there")
def _(folder: Path) -> list[str]:
    return ["--cache", "~nobody-at-all/c"]


add("cache prune", "an argument too many", lambda _: ["everything"])


@case("report", "a folder without results")
def _(folder: Path) -> list[str]:
    (folder / "metrics/evaluate.json").unlink()
    return []


@case("report", "metrics of another version")
def _(folder: Path) -> list[str]:
    (folder / "metrics/evaluate.json").write_text('{"auc": 0.9}')
    return []


@case("report", "metrics that are cut off")
def _(folder: Path) -> list[str]:
    file = folder / "metrics/evaluate.json"
    file.write_text(file.read_text()[:200])
    return []


@case("report", "parameters that are no YAML")
def _(folder: Path) -> list[str]:
    (folder / "params.yaml").write_text("data: {")
    return []


add("report", "test images that are not there", lambda _: ["--test", "gone.npz"])
add("report", "a model that is not there", lambda _: ["--model", "gone"])
add(
    "report",
    "an output in a folder that cannot be written",
    lambda _: ["--out", "/proc/here/a.html"],
)
add("report", "an output that is no HTML", lambda _: ["--out", "params.yaml"])
add("report", "dev images for test", lambda _: ["--test", "data/processed/dev.npz"])
add("report", "nothing to compare with", lambda _: ["--against", ""])


add("serve", "a model that is not there", lambda _: ["--model", "gone"])
add("serve", "a port that is none", lambda _: ["--port", "80"])
