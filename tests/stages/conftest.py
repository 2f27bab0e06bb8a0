"""Both pipelines, run once in folders of their own for all tests of stages."""

import shutil
import socket
from functools import partial
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

import breast_ultrasound.model.pretrained
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.official import read_official
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.data.source import read_source
from breast_ultrasound.files import write_arrays
from breast_ultrasound.model.official_recipe import train_recipe
from breast_ultrasound.search import references, resolution
from tests.hospitals import write_busbra, write_busi
from tests.stages.reads import STAGES, STUDIES, Reads, call
from tools.workspace import TINY, write_params


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reads]:
    """A folder in which every stage has run, and what each has read."""
    folder = tmp_path_factory.mktemp("stages")
    with pytest.MonkeyPatch.context() as patch:
        reads = Reads(patch)
        patch.chdir(folder)
        patch.setenv("BREAST_ULTRASOUND_WORKERS", "1")
        patch.setenv("BREAST_ULTRASOUND_DEVICE", "cpu")
        patch.setenv("BREAST_ULTRASOUND_CACHE", str(folder / "cache"))
        write_params(folder / "params.yaml", TINY)
        (folder / "data" / "also_train").mkdir(parents=True)
        for stage in STAGES:
            if stage != "download":
                patch.setattr(socket.socket, "connect", _refuse)  # the network is not needed
            reads.stage = stage
            result = call(stage)
            assert result.exit_code == 0, result.output
        _visit_other_branches(folder, reads, patch)
    return folder, reads


@pytest.fixture(scope="session")
def studied(
    finished: tuple[Path, Reads], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Reads]:
    """A folder with the pipeline's outputs in which every study has run, and what each has read.

    The official recipe trains for one epoch.
    """
    folder = tmp_path_factory.mktemp("studies")
    for name in ("data", "metrics", "models", "plots"):
        shutil.copytree(finished[0] / name, folder / name)
    # One thread: beside other tests, many would wait for each other.
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        reads = Reads(patch)
        patch.chdir(folder)
        patch.setenv("BREAST_ULTRASOUND_WORKERS", "1")
        patch.setenv("BREAST_ULTRASOUND_DEVICE", "cpu")
        patch.setenv("BREAST_ULTRASOUND_CACHE", str(folder / "cache"))
        patch.setattr(socket.socket, "connect", _refuse)
        patch.setattr(references, "train_recipe", partial(train_recipe, n_epochs=1))
        own = {"data": {"search_path": [str(_search_folder(folder))]}}
        write_params(folder / "params.yaml", TINY, own)
        patch.setattr(resolution, "read_kept", _phantoms_of)
        for study in STUDIES:
            reads.stage = study
            result = call(study)
            assert result.exit_code == 0, result.output
    return folder, reads


def _search_folder(folder: Path) -> Path:
    """Return a folder with what the studies look for on the search path."""
    raw = read_source(folder / "data/raw/images.npz")
    write_busi(folder / "search" / "busi", raw.name.tolist(), raw.malignant.tolist())
    write_busbra(folder / "search" / "busbra", n_patients=60)
    return folder / "search"


def _phantoms_of(side: int, *_: object) -> ImageSet:
    """Return the phantoms of the pipeline at another size, in place of an official file."""
    write_arrays(Path("sized.npz"), make_phantoms(90, 0, side))
    return read_official(Path("sized.npz"))


def _visit_other_branches(folder: Path, reads: Reads, patch: pytest.MonkeyPatch) -> None:
    """Run what other parameters lead to, beside the outputs of the first pass."""
    patch.setattr(
        breast_ultrasound.model.pretrained, "_find", lambda path: pytest.fail("not from here")
    )
    patch.setattr(breast_ultrasound.model.pretrained, "imagenet_weights", lambda path: {})
    other = {
        "data": {"name": "breastmnist", "search_path": []},
        "baseline": {"weights": "imagenet"},
    }
    write_params(folder / "other.yaml", TINY, other)
    patch.setattr("torchvision.datasets.utils.download_url", _refuse)
    for stage, exit_code in (("download", 2), ("train_final", 0)):
        reads.stage = stage
        assert call(stage, "--params", "other.yaml").exit_code == exit_code
    columns = {"image": "Images/{ID}.png", "label": "Pathology", "patient": "Case"}
    table = {"images": str(write_busbra(folder / "own")), "table": "bus_data.csv"}
    own = {"data": {"name": "images", **table, "columns": columns}}
    write_params(folder / "own.yaml", TINY, own)
    reads.stage = "download"
    elsewhere = ("--params", "own.yaml", "--out", "own.npz", "--also-train", "more.npz")
    result = call("download", *elsewhere)
    assert result.exit_code == 0, result.output
    for file in (folder / "own.npz", folder / "more.npz", folder / "own.yaml"):
        file.unlink()
    shutil.rmtree(folder / "own")


def _refuse(*_: object, **__: object) -> None:
    raise OSError("no network")
