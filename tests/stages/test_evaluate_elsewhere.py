"""`breast-ultrasound evaluate` on a hospital's table with its own column names."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from breast_ultrasound.cli.app import app
from tests.hospitals import write_busbra
from tests.sheets import pixels
from tests.stages.reads import Reads

MAPPING = ("--image", "Images/{ID}.png", "--label", "Pathology", "--patient", "Case")


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    return write_busbra(tmp_path / "busbra", n_patients=40) / "bus_data.csv"


@pytest.fixture(autouse=True)
def in_the_project(finished: tuple[Path, Reads], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished[0])


def evaluate(*arguments: object) -> Result:
    quick = ("--bootstrap", "20")
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments), *quick])


def test_a_table_goes_to_a_forest_plot_as_it_is(hospital: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in hospital.parent.rglob("*") if path.is_file()}
    outputs = ("--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv", "--plot", tmp_path / "p")
    result = evaluate(hospital, *MAPPING, "--by", "Device,BIRADS", "--recalibrate", *outputs)
    assert result.exit_code == 0, result.output
    first, *_ = result.stdout.splitlines()
    assert first == "80 images, none a near-duplicate of one that the model learned from"
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["per_image"]["images"] == 80
    assert content["per_patient"]["images"] == 40
    for kind in ("per_image", "per_patient", "recalibrated"):
        for score in ("auc", "sensitivity_at_90_specificity", "brier", "calibration_slope"):
            assert f"{score}_low" in content[kind]
    assert content["subgroups"]["Device"].keys() == {"GE Logiq 5", "GE Logiq 7"}
    assert content["subgroups"]["BIRADS"]["4"]["images"] == 80
    assert {"half", "sensitivity_90", "sensitivity_95"} == content["operating_points"].keys()
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 80
    assert rows[0]["image"] == "Images/bus_0000-l.png"
    assert rows[0]["Device"] == "GE Logiq 7"
    for name in ("curves", "forest"):
        assert pixels(tmp_path / "p" / f"{name}.png").std() > 5
    for path, bytes_before in before.items():
        assert path.read_bytes() == bytes_before


def test_images_that_the_model_learned_from_are_said_first(tmp_path: Path) -> None:
    from PIL import Image

    from breast_ultrasound.data.image_set import ImageSet

    dev = ImageSet.load(Path("data/processed/dev.npz"))
    for i, (image, label) in enumerate(zip(dev.images, dev.label, strict=True)):
        folder = tmp_path / "own" / label
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    result = evaluate(tmp_path / "own")
    assert result.exit_code == 0, result.output
    n_images = len(dev)
    assert result.stdout.startswith(
        f"WARNING: the model has learned from {n_images} of these {n_images} images"
    )


def test_of_a_model_that_keeps_no_thumbnails_the_dev_images_tell(tmp_path: Path) -> None:
    from PIL import Image

    from breast_ultrasound.data.image_set import ImageSet

    shutil.copytree("models/final", tmp_path / "model")
    (tmp_path / "model" / "known.safetensors").unlink()
    dev = ImageSet.load(Path("data/processed/dev.npz")).subset(np.arange(20))
    for i, (image, label) in enumerate(zip(dev.images, dev.label, strict=True)):
        folder = tmp_path / "own" / label
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    model = "--model", tmp_path / "model"
    result = evaluate(tmp_path / "own", *model)
    assert "has learned from 20 of these 20 images" in result.stdout.splitlines()[0]
    result = evaluate(tmp_path / "own", *model, "--dev", tmp_path / "gone.npz")
    assert "whether it learned from these images is not known" in result.stderr
    assert "learned from" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--label", "Diagnosis"], "expected one column 'Diagnosis', got none; it has ID, Case"),
        (["--image", "{Nr}.png"], "expected one column 'Nr'"),
        (["--by", "Stage"], "expected one column 'Stage'"),
        (["--benign", "harmless"], "expected labels of malignant ['malignant'] or benign"),
        (["--benign", "malignant"], "got both for malignant"),
        (["--malignant", ""], "--malignant: "),
        (["--model", "gone"], "gone/model.json: no such file"),
        (["--plot", "params.yaml"], "--plot: expected a folder, got the file params.yaml"),
    ],
)
def test_wrong_options_end_in_one_line_and_exit_code_2(
    hospital: Path, arguments: list[str], expected: str
) -> None:
    result = evaluate(hospital, *MAPPING, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr


def test_a_missing_table_and_columns_of_a_folder_are_refused(hospital: Path) -> None:
    result = evaluate("gone.csv")
    assert "gone.csv: no such file or folder" in result.stderr
    result = evaluate(hospital.parent, "--by", "Device")
    assert "--by: expected a table with columns, got the folder" in result.stderr
