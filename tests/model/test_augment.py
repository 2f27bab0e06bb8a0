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
    "gamma": 0.0,
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


def _spot(right: float, down: float) -> torch.Tensor:
    """Return (1, 1, 28, 28): a bright spot on black, so many pixels from the centre."""
    ticks = torch.arange(28) - 13.5
    squared = (ticks[None, :] - right) ** 2 + (ticks[:, None] - down) ** 2
    return 2 * torch.exp(-squared / (2 * 1.5**2))[None, None] - 1


def _moved(spot: torch.Tensor, **changes: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where 500 changed copies have the spot, (500,) as right + down i, and its mass."""
    params = AugmentParams.model_validate({**NOTHING, **changes})
    changed = augment(spot.expand(500, -1, -1, -1), params, torch.Generator().manual_seed(0))
    light = changed[:, 0] + 1  # (B, S, S)
    ticks = torch.arange(28) - 13.5
    mass = light.sum(dim=(1, 2))
    right = (light.sum(dim=1) * ticks).sum(dim=1) / mass
    down = (light.sum(dim=2) * ticks).sum(dim=1) / mass
    return torch.complex(right, down), mass


def _is_uniform(drawn: torch.Tensor, low: float, high: float, tolerance: float) -> None:
    """Check 500 draws: within the limits, near both of them, and evenly between (Kolmogorov)."""
    assert drawn.min() > low - tolerance
    assert drawn.max() < high + tolerance
    assert drawn.min() < low + 0.03 * (high - low) + tolerance
    assert drawn.max() > high - 0.03 * (high - low) - tolerance
    even = torch.linspace(low, high, len(drawn))
    assert (drawn.sort().values - even).abs().max() < 0.09 * (high - low) + tolerance


def test_rotation_turns_each_image_about_its_centre_by_its_own_angle() -> None:
    angles = []
    for right, down in ((8.0, 0.0), (0.0, 8.0), (-4.0, 4.0)):
        place, mass = _moved(_spot(right, down), rotation=30.0)
        start = complex(right, down)
        angles.append(torch.rad2deg((place / start).angle()))
        assert (place.abs() - abs(start)).abs().max() < 0.1
        assert mass.std() / mass.mean() < 0.01
        _is_uniform(angles[-1], -30, 30, tolerance=0.7)
    # The same generator, so the same angles: a turn, no shear.
    assert (angles[0] - angles[1]).abs().max() < 1.5
    assert (angles[0] - angles[2]).abs().max() < 1.5


def test_scale_moves_along_the_radius_and_grows_by_the_square() -> None:
    for right, down in ((6.0, 0.0), (0.0, -6.0), (4.0, 4.0)):
        place, mass = _moved(_spot(right, down), scale=0.3)
        factor = place / complex(right, down)
        assert factor.imag.abs().max() < 0.02
        _is_uniform(factor.real, 0.7, 1.3, tolerance=0.02)
        _, mass_before = _moved(_spot(right, down))
        assert torch.allclose(mass / mass_before, factor.real**2, atol=0.05)


def test_shift_moves_either_way_along_both_axes() -> None:
    place, mass = _moved(_spot(0.0, 0.0), shift=0.25)
    for moved in (place.real, place.imag):
        _is_uniform(moved, -7, 7, tolerance=0.1)  # pixels: a quarter of 28
    assert torch.corrcoef(torch.stack([place.real, place.imag]))[0, 1].abs() < 0.15
    assert mass.std() / mass.mean() < 0.01


def test_contrast_multiplies_each_image_by_its_own_factor() -> None:
    image = IMAGES[:1].expand(500, -1, -1, -1)
    params = AugmentParams.model_validate({**NOTHING, "contrast": 0.2})
    changed = augment(image, params, torch.Generator().manual_seed(0))
    factor = (changed * image).sum(dim=(1, 2, 3)) / (image**2).sum(dim=(1, 2, 3))
    assert torch.allclose(changed, factor[:, None, None, None] * image, atol=1e-6)
    _is_uniform(factor, 0.8, 1.2, tolerance=1e-5)


def test_brightness_adds_to_each_image_its_own_amount() -> None:
    image = IMAGES[:1].expand(500, -1, -1, -1)
    params = AugmentParams.model_validate({**NOTHING, "brightness": 0.05})
    added = augment(image, params, torch.Generator().manual_seed(0)) - image
    amount = added.mean(dim=(1, 2, 3))
    assert (added - amount[:, None, None, None]).abs().max() < 1e-6
    _is_uniform(amount, -0.1, 0.1, tolerance=1e-5)  # a twentieth of the range −1…1


def test_gamma_raises_greys_to_each_images_own_power() -> None:
    image = IMAGES[:1].expand(500, -1, -1, -1)
    params = AugmentParams.model_validate({**NOTHING, "gamma": 0.4})
    changed = augment(image, params, torch.Generator().manual_seed(0))
    before, after = ((x[:, 0] + 1) / 2 for x in (image, changed))
    power = after[:, 5, 5].log() / before[:, 5, 5].log()
    assert torch.allclose(after, before ** power[:, None, None], atol=1e-4)
    _is_uniform(power.log(), -0.4, 0.4, tolerance=1e-3)


def test_gamma_keeps_black_and_white_and_clips_beyond() -> None:
    ends = torch.tensor([-1.5, -1.0, 1.0, 1.5]).view(1, 1, 2, 2).expand(20, -1, -1, -1)
    params = AugmentParams.model_validate({**NOTHING, "gamma": 0.5})
    changed = augment(ends, params, torch.Generator().manual_seed(0))
    assert torch.equal(changed, ends.clamp(-1, 1))


def test_cut_out_blanks_a_square_of_the_given_side() -> None:
    blank = (_augment(cutout=0.5) == 0).float().mean(dim=(1, 2, 3))
    assert blank.max() <= 0.25 + 0.03
    assert blank.min() > 0.25 / 4 - 0.03  # a quarter remains when the centre is in a corner
