"""The whole pipeline, run once in a folder of its own for all tests of stages."""

import socket
from pathlib import Path

import pytest

import breast_ultrasound.model.pretrained
from tests.stages.reads import STAGES, Reads, call
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
        for stage in STAGES:
            if stage != "download":
                patch.setattr(socket.socket, "connect", _refuse)  # the network is not needed
            reads.stage = stage
            result = call(stage)
            assert result.exit_code == 0, result.output
        _visit_other_branches(folder, reads, patch)
    return folder, reads


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


def _refuse(*_: object, **__: object) -> None:
    raise OSError("no network")
