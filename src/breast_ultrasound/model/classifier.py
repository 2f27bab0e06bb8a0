"""The classifier: everything between the grey levels of an image and a probability of malignant."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from breast_ultrasound.model.arithmetic import Device
from breast_ultrasound.params import Arithmetic

PREDICTION_BATCH = 256  # images at most
PREDICTION_PIXELS = 256 * 28 * 28  # of a batch, at most: its views are all held at once
VIEW_SHIFT = 2 / 28  # of the side


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of N images.

    Attributes:
        probability: (N,) float64 of malignant, by the ensemble. From ½ on an image is predicted to
            be malignant.
        member_probability: (M, N) float64, by each member alone, with the same calibration.
    """

    probability: NDArray[np.float64]
    member_probability: NDArray[np.float64]


class Classifier(nn.Module):
    """An ensemble of networks, their test-time views and their calibration.

    Images (N, H, W) uint8 → scaled to −1…1 → views → members → mean logit → Platt scaling →
    probability of malignant, (N,) float64.

    Args:
        members: networks that return one logit per image, (B,), of images (B, 1, H, W).
        arithmetic: bf16 scores under autocast, as it was trained.
        test_time_augmentation: a member's logit is its mean over shifted and mirrored views.
        temperature, offset: logit / temperature + offset is the log odds of malignant.
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        arithmetic: Arithmetic,
        test_time_augmentation: bool,
        temperature: float = 1.0,
        offset: float = 0.0,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.arithmetic = arithmetic
        self.test_time_augmentation = test_time_augmentation
        self.temperature, self.offset = temperature, offset

    def forward(self, images: Tensor) -> Tensor:
        """Return the probability of malignant, (N,) float64, of images (N, H, W) uint8."""
        return self.calibrate(self.member_logits(images).mean(dim=0))

    def member_logits(self, images: Tensor) -> Tensor:
        """Return each member's logits of malignant, (M, N) float32, of images (N, H, W) uint8."""
        scaled = scale(images)
        views = views_of(scaled) if self.test_time_augmentation else [scaled]
        laid_out = [view.contiguous(memory_format=torch.channels_last) for view in views]
        with torch.autocast(images.device.type, torch.bfloat16, self.arithmetic == "bf16"):
            logits = [torch.stack([member(v) for v in laid_out]) for member in self.members]
        return torch.stack([views.float().mean(dim=0) for views in logits])

    def calibrate(self, logits: Tensor) -> Tensor:
        """Return the probabilities of malignant, float64, of logits of any shape."""
        return torch.sigmoid(logits.double() / self.temperature + self.offset)


def scale(images: Tensor) -> Tensor:
    """Return greys (N, H, W) uint8 as (N, 1, H, W) float32 from −1 (black) to 1 (white)."""
    return (images.to(torch.float32) / 127.5 - 1).unsqueeze(1)


def views_of(images: Tensor) -> list[Tensor]:
    """Return six views of images (B, 1, S, S), of which a mirrored image has the same.

    As they are and shifted across by `VIEW_SHIFT` either way, in whole pixels (2 at 28, 16 at 224),
    and the mirrors of these.
    """
    side = images.shape[-1]
    step = round(VIEW_SHIFT * side)
    padded = nn.functional.pad(images, (step, step, 0, 0), mode="replicate")
    shifted = [padded[..., start : start + side] for start in (0, step, 2 * step)]
    return [*shifted, *(view.flip(3) for view in shifted)]


def logits_of(
    classifier: Classifier,
    images: NDArray[np.uint8],
    device: Device,
    chosen: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Return each member's logits of malignant, (M, N) float32, of images (N, S, S) uint8.

    Args:
        chosen: (C,) int64, the images to score, (M, C); None scores all. They are read batch by
            batch: the images may be mapped from a file.
    """
    classifier.eval()
    indices = np.arange(len(images)) if chosen is None else chosen
    size = max(1, min(PREDICTION_BATCH, PREDICTION_PIXELS // images.shape[1] ** 2))
    logits = [np.zeros((len(classifier.members), 0), dtype=np.float32)]
    with reproducible(device), torch.inference_mode():
        for start in range(0, len(indices), size):
            batch = torch.from_numpy(images[indices[start : start + size]])
            logits.append(classifier.member_logits(batch.to(device)).cpu().numpy())
    return np.concatenate(logits, axis=1)


def predict(classifier: Classifier, images: NDArray[np.uint8], device: Device) -> Predictions:
    """Return the calibrated predictions of images (N, H, W) uint8."""
    logits = torch.from_numpy(logits_of(classifier, images, device))  # (M, N)
    ensemble, members = classifier.calibrate(logits.mean(dim=0)), classifier.calibrate(logits)
    return Predictions(ensemble.numpy(), members.numpy())


@contextmanager
def reproducible(device: Device) -> Iterator[None]:
    """Compute with one thread, on a GPU deterministically; torch is left as it was found.

    A single thread makes a result independent of how many trainings run beside it.
    """
    before: dict[str, Any] = {
        "mode": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
    }
    n_threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    torch.set_num_threads(1)
    if device == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
        torch.backends.cudnn.benchmark = benchmark
        torch.use_deterministic_algorithms(**before)
