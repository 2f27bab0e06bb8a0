"""`breast-ultrasound predict` with the model that the stages have made."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from breast_ultrasound.cli import app
from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.evaluation.judgement import judge
from breast_ultrasound.model.artifact import load_model
from breast_ultrasound.runs.execute import find_hardware
from tests.stages.reads import Reads


def test_a_picture_gets_the_answer_that_its_pixels_get_on_test(
    finished: tuple[Path, Reads], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is known to be seen exactly where `preprocess` calls the test image leaked."""
    monkeypatch.chdir(finished[0])
    test = ImageSet.load(Path("data/processed/test.npz"))
    for i, image in enumerate(test.images):
        picture = Image.fromarray(np.kron(image, np.ones((5, 3), dtype=np.uint8)))
        picture.convert("RGB" if i % 2 else "L").save(tmp_path / f"{i:03}.png")
    result = CliRunner().invoke(app, ["predict", str(tmp_path), "--csv", str(tmp_path / "a.csv")])
    assert result.exit_code == 0, result.output
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    judged = judge(load_model(Path("models/final")), test.images, find_hardware("cpu"))
    for name, expected in (
        ("malignant_probability", judged.probability),
        ("lowest", judged.single.min(axis=0)),
        ("highest", judged.single.max(axis=0)),
        ("malignant", judged.probability >= judged.threshold),
    ):
        np.testing.assert_allclose([float(row[name]) for row in rows], expected, rtol=1e-5)
    assert [row["picture"] for row in rows] == [
        str(tmp_path / f"{i:03}.png") for i in range(len(test))
    ]
    assert [bool(row["dev_twin"]) for row in rows] == test.leaked.tolist()
    lines = result.stdout.splitlines()
    assert ["seen it" in line for line in lines] == test.leaked.tolist()
    assert 0 < test.leaked.sum() < len(test)
