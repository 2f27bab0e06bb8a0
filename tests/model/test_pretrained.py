import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from breast_ultrasound.files import InputError
from breast_ultrasound.model import pretrained
from breast_ultrasound.model.pretrained import imagenet_weights
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.model.training import load_weights, weights_of
from breast_ultrasound.params import ModelParams


@pytest.fixture
def weights_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of torchvision's format under a name of torchvision's form."""
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save(resnet18().state_dict(), folder / "made.pth")
    digest = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()
    path = (folder / "made.pth").rename(folder / f"resnet18-{digest[:8]}.pth")
    monkeypatch.setattr(pretrained, "URL", f"https://download.invalid/models/{path.name}")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return path


def test_grey_gives_what_three_equal_channels_gave(weights_file: Path) -> None:
    theirs = resnet18()
    theirs.load_state_dict(torch.load(weights_file, weights_only=True))
    ours = ResNet(
        ModelParams(
            stem="imagenet",
            input_size=64,
            width=64,
            blocks=[2, 2, 2, 2],
            dropout=0,
            standardise="none",
        )
    )
    load_weights(ours, {**weights_of(ours), **imagenet_weights([str(weights_file.parent)])})
    theirs.fc = ours.fc
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = theirs.eval()(grey.expand(-1, 3, -1, -1)).squeeze(1)
        np.testing.assert_allclose(ours.eval()(grey), expected, rtol=1e-4, atol=1e-5)


def test_torchs_hub_cache_is_looked_through(weights_file: Path, tmp_path: Path) -> None:
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    weights_file.rename(hub / weights_file.name)
    assert "conv1.weight" in imagenet_weights([str(weights_file.parent)])


def test_a_file_of_another_content_is_refused(weights_file: Path) -> None:
    torch.save({}, weights_file)
    with pytest.raises(InputError, match="expected a SHA-256 that starts with"):
        imagenet_weights([str(weights_file.parent)])


def test_without_file_and_network_the_message_says_what_to_do(
    weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    weights_file.unlink()
    with pytest.raises(InputError, match=r"no network.*set baseline\.weights to null"):
        imagenet_weights([str(weights_file.parent)])
