"""TrainedModel models as files: safetensors for the weights, JSON that says what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from breast_ultrasound.files import InputError, atomic, read_json
from breast_ultrasound.model.resnet import ResNet
from breast_ultrasound.model.training import Hardware, TrainingConfig, network_of, predict
from breast_ultrasound.params import Section

CARD = "model.json"


class ModelCard(Section):
    """What a model is and where it comes from.

    Attributes:
        config: how its members were trained.
        seeds: of each member, in order.
        temperature, offset: logits / temperature + offset is the log odds of malignant.
        threshold: a probability of malignant at or above it is called malignant.
        data: SHA-256 of the dev images and labels, of which it learned from all or a part.
        versions: of the packages that trained it.
        trained_on: device kind and precision.
        scores: named estimates. `out_of_fold_…` are of the cross-validation's networks, of the same
            configuration, calibrated on the same scores; `val_auc` is the best epoch's.
    """

    config: TrainingConfig
    seeds: list[int]
    temperature: float
    offset: float
    threshold: float
    data: str
    versions: dict[str, str]
    trained_on: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Ensemble:
    """A trained model: one or more networks whose logits are averaged."""

    card: ModelCard
    members: Sequence[Mapping[str, NDArray[Any]]]

    def predict(self, images: NDArray[np.uint8], hardware: Hardware) -> NDArray[np.float32]:
        """Return each member's logits, (M, N) float32, of images (N, 28, 28) uint8."""
        logits = []
        for weights in self.members:
            network = network_of(self.card.config.model, weights, hardware)
            logits.append(
                predict(network, images, hardware, self.card.config.test_time_augmentation)
            )
        return np.stack(logits)


def save_model(
    folder: Path, card: ModelCard, members: Sequence[Mapping[str, NDArray[Any]]]
) -> None:
    """Write the members' weights, then the card."""
    for i, weights in enumerate(members):
        with atomic(folder / f"member_{i}.safetensors") as temporary:
            temporary.write_bytes(save(dict(weights)))
    # Full precision, unlike metrics: the calibration must decide as it was chosen.
    with atomic(folder / CARD) as temporary:
        temporary.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_model(folder: Path) -> Ensemble:
    """Read a model that `save_model` wrote.

    Raises:
        InputError: a file is missing, damaged or does not fit the others.
    """
    path = folder / CARD
    try:
        card = ModelCard.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; train the model again") from None
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
    return Ensemble(card, members)


def _check_fit(path: Path, weights: Mapping[str, NDArray[Any]], card: ModelCard) -> None:
    with torch.device("meta"):  # shapes only
        expected = {
            name: tuple(t.shape) for name, t in ResNet(card.config.model).state_dict().items()
        }
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        raise InputError(f"{path}: not of the network in {CARD}; train the model again")
