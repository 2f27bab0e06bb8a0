"""Torchvision's ImageNet weights for ResNet-18, fitted to one channel."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models import ResNet18_Weights

from breast_ultrasound.files import InputError, expand

URL = ResNet18_Weights.IMAGENET1K_V1.url


def imagenet_weights(search_path: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Return the weights under the names of `ResNet`, without the last layer.

    The file is looked for in `search_path`, then in torch's hub cache, then downloaded. Its name
    ends in the first 8 digits of its SHA-256, which must fit. It is a pickle, as torchvision
    publishes it: it is read with `weights_only=True`, which builds tensors and nothing else.

    The first layer's weights are summed over the colour channels: a grey image gives what the
    same image in three equal channels gave.

    Raises:
        InputError: the file is nowhere to be had, or its hash does not fit.
    """
    state = torch.load(_find(search_path), map_location="cpu", weights_only=True)
    state["conv1.weight"] = state["conv1.weight"].sum(dim=1, keepdim=True)
    return {name: tensor.numpy() for name, tensor in state.items() if not name.startswith("fc.")}


def _find(search_path: Sequence[str]) -> Path:
    name = str(URL).rsplit("/", 1)[-1]
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    folders = [*(expand(folder) for folder in search_path), hub]
    for folder in folders:
        if (folder / name).is_file():
            _check(folder / name)
            return folder / name
    try:
        hub.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(hub / name), _stated_digest(name), progress=False)
    except (OSError, RuntimeError) as error:
        places = ", ".join(str(folder) for folder in folders)
        raise InputError(
            f"baseline.weights: imagenet: {name} is in none of {places}, and the download failed "
            f"({error}); download {URL} into one of them, or set baseline.weights to null"
        ) from None
    return hub / name


def _stated_digest(name: str) -> str:
    return name.removesuffix(".pth").rsplit("-", 1)[-1]


def _check(path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(_stated_digest(path.name)):
        raise InputError(
            f"{path}: expected a SHA-256 that starts with {_stated_digest(path.name)}, "
            f"got {found[:8]}; remove the file and download {URL}"
        )
