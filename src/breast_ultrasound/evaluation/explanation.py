"""Where a classifier looks: by occlusion (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from captum.attr import Occlusion
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import ttest_1samp
from torch import Tensor, nn

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.figures import open_figure
from breast_ultrasound.evaluation.intervals import share_interval
from breast_ultrasound.model.classifier import Classifier, reproducible, scale

WINDOW, STRIDE, BLUR = 6 / 28, 2 / 28, 4 / 28  # of the side
N_CONFIDENT = 4  # of each kind
N_COLUMNS = 4  # images side by side in a figure
AT_ONCE = 16  # occluded copies of an image
LIMIT = 1.0  # of the logit, from which a map's colours are full


class _MeanLogit(nn.Module):
    """The mean logit of a classifier's members on images as they are, without views."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.members = classifier.members

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([member(images) for member in self.members]).mean(dim=0)


def maps_of(classifier: Classifier, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what each place adds to the logit of malignant, (N, S, S), of images (N, S, S) uint8.

    That is by how much the mean logit of the members falls where a window of 6/28 of the side is
    blurred, the mean over the windows that hold the place; below 0 it speaks for benign.
    """
    side = images.shape[1]
    window, stride = max(1, round(WINDOW * side)), max(1, round(STRIDE * side))
    occlusion, maps = Occlusion(_MeanLogit(classifier.eval())), []
    with reproducible("cpu"), torch.inference_mode():
        for image in images:
            blurred = (
                gaussian_filter(image.astype(np.float64), BLUR * side).round().astype(np.uint8)
            )
            pair = scale(torch.from_numpy(np.stack([image, blurred])))
            found = occlusion.attribute(
                pair[:1],
                sliding_window_shapes=(1, window, window),
                strides=(1, stride, stride),
                baselines=pair[1:],
                perturbations_per_eval=AT_ONCE,
            )
            maps.append(found[0, 0].double().numpy())
    return np.array(maps).reshape(images.shape)


def on_lesions(
    maps: NDArray[np.float64],
    masks: NDArray[np.bool_],
    patient: NDArray[np.str_],
    confidence: float,
) -> dict[str, float]:
    """Return how much of what speaks for malignant lies on lesions, against two levels of chance.

    Args:
        maps: (N, S, S), as of `maps_of`; what is below 0 does not count.
        masks: (N, S, S) bool, where the lesion is; at least a pixel each.
        patient: (N,) str, at least two.

    Returns:
        `share`: of the map that lies on the lesion; `other_maps`: the same of the mean map of all
        images, which knows where lesions often are; `area`: the lesion's share of the image;
        `share_minus_other_maps` with the ends of its interval, Student's over patients; `peak`: the
        share of images whose highest place is on the lesion, with Wilson's.
    """
    density = _density(maps)
    share = (density * masks).sum(axis=(1, 2))
    others = (density.mean(axis=0) * masks).sum(axis=(1, 2))
    highest = density.reshape(len(maps), -1).argmax(axis=1)
    peak = masks.reshape(len(maps), -1)[np.arange(len(maps)), highest]
    _, member = np.unique(patient, return_inverse=True)
    gain = np.bincount(member, share - others) / np.bincount(member)
    low, high = ttest_1samp(gain, 0).confidence_interval(confidence)
    peak_low, peak_high = share_interval(peak, member, confidence)
    return {
        "images": len(maps),
        "share": float(share.mean()),
        "other_maps": float(others.mean()),
        "area": float(masks.mean()),
        "share_minus_other_maps": float(gain.mean()),
        "share_minus_other_maps_low": float(low),
        "share_minus_other_maps_high": float(high),
        "peak": float(peak.mean()),
        "peak_low": peak_low,
        "peak_high": peak_high,
    }


def _density(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is above 0 in each map as shares of it; in an empty one all places have alike."""
    positive = np.maximum(maps, 0)
    total = positive.sum(axis=(1, 2), keepdims=True)
    return np.where(total > 0, positive / np.where(total > 0, total, 1), 1 / maps[0].size)


def draw_most_confident(
    classifier: Classifier, images: ImageSet, probability: NDArray[np.float64], path: Path
) -> None:
    """Draw the images that a model is surest of, right ones and wrong ones, with their maps.

    Args:
        probability: (N,) of malignant.
    """
    right = images.malignant == (probability >= 0.5)
    chosen = [
        i
        for hit in (True, False)
        for positive in (True, False)
        for i in most_confident(probability, (right == hit) & (images.malignant == positive))
    ]
    titles = [f"{images.label[i]}, {probability[i]:.2f}" for i in chosen]
    draw(images.images[chosen], maps_of(classifier, images.images[chosen]), titles, path)


def most_confident(probability: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the indices of the images, (N,) bool, whose probability is furthest from ½, four."""
    places = np.nonzero(among)[0]
    order = np.argsort(-np.abs(probability[places] - 0.5), kind="stable")
    return places[order[:N_CONFIDENT]]


def draw(
    images: NDArray[np.uint8],
    maps: NDArray[np.float64],
    titles: Sequence[str],
    path: Path,
) -> None:
    """Draw images (N, S, S) beside their maps: red speaks for malignant, blue for benign."""
    n_columns = min(N_COLUMNS, len(images))
    n_rows = -(-len(images) // n_columns)
    with open_figure(path, figsize=(3.6 * n_columns + 0.6, 2.2 * n_rows)) as figure:
        grid = figure.subplots(n_rows, 2 * n_columns, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for i, (image, found, title) in enumerate(zip(images, maps, titles, strict=True)):
            row, column = divmod(i, n_columns)
            left, right = grid[row, 2 * column : 2 * column + 2]
            left.set_title(title, fontsize=7, loc="left", parse_math=False)
            for axes in (left, right):
                axes.imshow(image, cmap="gray", vmin=0, vmax=255)
            shown = right.imshow(found, cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, alpha=0.5)
        bar = figure.colorbar(shown, ax=grid, fraction=0.02)
        bar.set_label("change of the logit of malignant", fontsize=7)
        bar.ax.tick_params(labelsize=7)
