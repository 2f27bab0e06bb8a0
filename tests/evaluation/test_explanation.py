"""Maps of where a classifier looks, of networks that look where they are told."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.explanation import (
    draw_most_confident,
    maps_of,
    most_confident,
    on_lesions,
)
from breast_ultrasound.model.classifier import Classifier
from tests.sheets import pixels


class Looks(nn.Module):
    """Its logit is the brightness of a square, times a factor."""

    def __init__(self, top: int, left: int, factor: float = 1.0) -> None:
        super().__init__()
        self.top, self.left, self.factor = top, left, factor

    def forward(self, images: Tensor) -> Tensor:
        side = images.shape[-1] // 7
        square = images[:, 0, self.top : self.top + side, self.left : self.left + side]
        return self.factor * square.sum(dim=(1, 2))


def _spots(side: int, places: list[tuple[int, int]]) -> np.ndarray:
    """Return images of a grey with bright squares of a seventh of the side."""
    image = np.full((1, side, side), 60, dtype=np.uint8)
    for top, left in places:
        image[0, top : top + side // 7, left : left + side // 7] = 250
    return image


@pytest.mark.parametrize("side", [28, 64])
@pytest.mark.parametrize("factor", [1.0, -1.0])
def test_a_map_is_where_the_network_looks_and_has_its_sign(side: int, factor: float) -> None:
    seen, beside = (side // 7, side // 2), (5 * side // 7, side // 7)
    classifier = Classifier([Looks(*seen, factor)], "portable", True)
    (found,) = maps_of(classifier, _spots(side, [seen, beside]))
    assert found.shape == (side, side)
    square = slice(seen[0], seen[0] + side // 7), slice(seen[1], seen[1] + side // 7)
    other = slice(beside[0], beside[0] + side // 7), slice(beside[1], beside[1] + side // 7)
    assert (found[square] * factor).min() > 0
    assert np.abs(found[other]).max() < 1e-6
    row, column = np.unravel_index(np.abs(found).argmax(), found.shape)
    assert abs(row - seen[0] - side / 14) <= side / 7
    assert abs(column - seen[1] - side / 14) <= side / 7


def test_a_map_is_the_mean_of_the_members(dev: ImageSet) -> None:
    members = [Looks(4, 4), Looks(14, 14, -0.5)]
    both = maps_of(Classifier(members, "portable", True), dev.images[:2])
    alone = [maps_of(Classifier([member], "portable", True), dev.images[:2]) for member in members]
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-5)
    assert maps_of(Classifier(members, "portable", True), dev.images[:0]).shape == (0, 28, 28)


def test_an_occluded_logit_is_the_one_written_out() -> None:
    """Of a window in the middle, the only one that holds the place."""
    image = _spots(28, [(0, 0)])
    classifier = Classifier([Looks(0, 0)], "portable", True)
    (found,) = maps_of(classifier, image)
    from scipy.ndimage import gaussian_filter

    blurred = image.copy()
    soft = gaussian_filter(image[0].astype(float), 4).round()
    blurred[0, :6, :6] = soft[:6, :6]
    logits = [
        Looks(0, 0)(torch.from_numpy(x.astype(np.float32) / 127.5 - 1)[:, None]).item()
        for x in (image, blurred)
    ]
    assert found[0, 0] == pytest.approx(logits[0] - logits[1], abs=1e-3)


def test_shares_tell_maps_on_lesions_from_maps_beside_them() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((40, 28, 28), dtype=np.bool_)
    for mask in masks:
        top, left = rng.integers(0, 20, 2)
        mask[top : top + 6, left : left + 6] = True
    patient = np.repeat(np.arange(20), 2).astype(str)
    noise = rng.random(masks.shape)
    on = on_lesions(noise + 20 * masks, masks, patient, 0.95)
    beside = on_lesions(noise, masks, patient, 0.95)
    area = masks.mean()
    assert (on["images"], on["area"]) == (40, area)
    assert on["share"] > 0.5 > 3 * on["other_maps"]
    assert on["share_minus_other_maps_low"] > 0.2
    assert on["peak"] == 1
    assert beside["share"] == pytest.approx(area, abs=0.01)
    low, high = (beside[f"share_minus_other_maps_{end}"] for end in ("low", "high"))
    assert low < 0 < high
    # What speaks against malignant does not count, and an empty map points nowhere.
    empty = on_lesions(-masks.astype(float), masks, patient, 0.95)
    assert empty["share"] == pytest.approx(area)


def test_the_most_confident_are_the_furthest_from_a_half() -> None:
    probability = np.array([0.9, 0.11, 0.6, 0.02, 0.45, 0.99, 0.7])
    assert most_confident(probability, np.ones(7, dtype=np.bool_)).tolist() == [5, 3, 0, 1]
    assert most_confident(probability, probability > 0.65).tolist() == [5, 0, 6]
    assert most_confident(probability, probability > 1).tolist() == []


def test_the_sheet_shows_images_and_maps(dev: ImageSet, tmp_path: Path) -> None:
    probability = np.linspace(0, 1, len(dev))
    classifier = Classifier([Looks(4, 4)], "portable", True)
    draw_most_confident(classifier, dev, probability, tmp_path / "maps.png")
    drawn = pixels(tmp_path / "maps.png")
    assert drawn.shape[1] > 1000
    red, blue = drawn[..., 0].astype(int), drawn[..., 2].astype(int)
    assert (red - blue > 60).any()
    assert (blue - red > 60).any()
