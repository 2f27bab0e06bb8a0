import pytest
import torch

from breast_ultrasound.model.augment import augment
from breast_ultrasound.params import AugmentParams

NOTHING = {
    "flip": 0.0,
    "rotation": 0.0,
    "scale": 0.0,
    "shift": 0.0,
    "contrast": 0.0,
    "brightness": 0.0,
    "cutout": 0.0,
}
IMAGES = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _augment(seed: int = 0, **changes: float) -> torch.Tensor:
    params = AugmentParams.model_validate({**NOTHING, **changes})
    return augment(IMAGES, params, torch.Generator().manual_seed(seed))


def test_all_zeros_change_nothing() -> None:
    assert torch.equal(_augment(), IMAGES)


@pytest.mark.parametrize("name", list(NOTHING))
def test_each_setting_acts_by_the_generator_alone(name: str) -> None:
    strength = {"rotation": 20.0}.get(name, 0.5)
    first, again, other = (_augment(seed, **{name: strength}) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, IMAGES)
    assert first.shape == IMAGES.shape


def test_flip_mirrors_some_images_exactly() -> None:
    certain = _augment(flip=1.0)
    assert torch.allclose(certain, IMAGES.flip(3), atol=1e-5)
    some = _augment(flip=0.5)
    mirrored = [torch.allclose(a, b, atol=1e-5) for a, b in zip(some, IMAGES.flip(3), strict=True)]
    kept = [torch.allclose(a, b, atol=1e-5) for a, b in zip(some, IMAGES, strict=True)]
    assert sum(mirrored) + sum(kept) == 64
    assert 16 < sum(mirrored) < 48


def test_contrast_and_brightness_stay_in_their_range() -> None:
    contrast = _augment(contrast=0.2) / IMAGES
    assert contrast.min() > 0.8 - 1e-4
    assert contrast.max() < 1.2 + 1e-4
    brightness = _augment(brightness=0.05) - IMAGES
    assert brightness.abs().max() < 0.1 + 1e-6  # a twentieth of the range −1…1


def test_cut_out_blanks_a_square_of_the_given_side() -> None:
    blank = (_augment(cutout=0.5) == 0).float().mean(dim=(1, 2, 3))
    assert blank.max() <= 0.25 + 0.03
    assert blank.min() > 0.25 / 4 - 0.03  # a quarter remains when the centre is in a corner


def test_shift_moves_by_at_most_the_given_fraction() -> None:
    dot = torch.full((1, 1, 28, 28), -1.0)
    dot[..., 13:15, 13:15] = 1.0
    params = AugmentParams.model_validate({**NOTHING, "shift": 0.25})
    for seed in range(20):
        moved = augment(dot, params, torch.Generator().manual_seed(seed))
        row, column = divmod(int(moved.argmax()), 28)
        assert max(abs(row - 13.5), abs(column - 13.5)) <= 0.25 * 28 + 1
