"""Trained models as files: safetensors for the weights, JSON that says what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from breast_ultrasound.data.image_set import THUMBNAIL
from breast_ultrasound.data.pictures import TRANSFORM
from breast_ultrasound.files import InputError, atomic, read_json
from breast_ultrasound.model.classifier import Classifier
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.model.training import TrainingConfig, network_of
from breast_ultrasound.params import Section, Side

CARD = "model.json"
KNOWN = "known.safetensors"


class ModelCard(Section):
    """What a model is and where it comes from.

    Attributes:
        format_version: of this card; another is refused.
        config: how its members were trained; its arithmetic is that of every scoring.
        image_size: pixels a side, of the images that it scores.
        transform: how a picture of another size becomes such an image.
        near_duplicate_correlation: from which an image counts as one that it learned from.
        unlike_below: correlation with the most similar image that it learned from, below which an
            image is unlike all of them; None where it keeps no thumbnails.
        seeds: of each member, in order.
        operating_points: probabilities from which malignant is predicted, by name; `half` is ½.
        temperature, offset: logits / temperature + offset is the log odds of malignant.
        data: SHA-256 of the dev images and labels, of which it learned from all or a subset.
        versions: of the packages that trained it.
        trained_on: what its trainings computed with, see `arithmetic.describe`.
        scores: named estimates. `out_of_fold_…` are of the cross-validation's networks, of the same
            configuration, calibrated on the same scores; `val_auc` is the best epoch's.
    """

    format_version: Literal[3] = 3
    config: TrainingConfig
    image_size: Side
    transform: str
    near_duplicate_correlation: float
    seeds: list[int] = Field(min_length=1)
    unlike_below: float | None
    operating_points: dict[str, float] = Field(min_length=1)
    temperature: float = Field(gt=0)
    offset: float
    data: str
    versions: dict[str, str]
    trained_on: str
    scores: dict[str, float]


@dataclass(frozen=True)
class TrainedModel:
    """A model as its folder holds it.

    Attributes:
        weights: of each member, by name.
        known: (K, 28, 28) uint8, thumbnails of the images that its data set learns from, by which
            near-duplicates of them are recognised; None where the images are not for everybody.
    """

    card: ModelCard
    weights: Sequence[Mapping[str, NDArray[Any]]]
    known: NDArray[np.uint8] | None = None

    def classifier(self) -> Classifier:
        """Return the module that scores images."""
        config = self.card.config
        return Classifier(
            [network_of(config.model, weights) for weights in self.weights],
            config.training.arithmetic,
            config.test_time_augmentation,
            self.card.temperature,
            self.card.offset,
        )


def save_model(folder: Path, model: TrainedModel) -> None:
    """Write the members' weights and the thumbnails, then the card."""
    for i, weights in enumerate(model.weights):
        with atomic(folder / f"member_{i}.safetensors") as temporary:
            temporary.write_bytes(save(dict(weights)))
    if model.known is not None:
        with atomic(folder / KNOWN) as temporary:
            temporary.write_bytes(save({"thumbnails": model.known}))
    # Full precision, unlike metrics: the calibration must decide as it was chosen.
    with atomic(folder / CARD) as temporary:
        temporary.write_text(model.card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_model(folder: Path) -> TrainedModel:
    """Read a model that `save_model` wrote.

    Raises:
        InputError: a file is missing, damaged or does not fit the others.
    """
    path = folder / CARD
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected the folder of a model, got a file")
    try:
        card = ModelCard.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; train the model again") from None
    _check_transform(path, card)
    members = []
    for i in range(len(card.seeds)):
        weights = folder / f"member_{i}.safetensors"
        try:
            members.append(load_file(weights))
            _check_fit(weights, members[-1], card)
        except FileNotFoundError:
            raise InputError(f"{weights}: no such file; train the model again") from None
        except SafetensorError as error:
            raise InputError(f"{weights}: damaged ({error}); train the model again") from None
    return TrainedModel(card, members, _read_known(folder / KNOWN))


def _read_known(path: Path) -> NDArray[np.uint8] | None:
    """Return the thumbnails that a model keeps, or None."""
    try:
        arrays = load_file(path)
    except FileNotFoundError:
        return None
    except SafetensorError as error:
        raise InputError(f"{path}: damaged ({error}); train the model again") from None
    known = arrays.get("thumbnails")
    if known is None or known.dtype != np.uint8 or known.shape[1:] != (THUMBNAIL, THUMBNAIL):
        raise InputError(f"{path}: expected thumbnails of 28 pixels; train the model again")
    return known


def _check_transform(path: Path, card: ModelCard) -> None:
    if card.transform != TRANSFORM:
        raise InputError(
            f"{path}: transform: expected {TRANSFORM}, got {card.transform}; train it again"
        )


def _check_fit(path: Path, weights: Mapping[str, NDArray[Any]], card: ModelCard) -> None:
    with torch.device("meta"):  # shapes only
        expected = {
            name: tuple(t.shape) for name, t in ResNet(card.config.model).state_dict().items()
        }
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        raise InputError(f"{path}: not of the network in {CARD}; train the model again")
