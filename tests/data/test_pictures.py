"""Pictures of formats that show something else than they hold."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from breast_ultrasound.data.pictures import read_pictures

SHOWN = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28) % 250  # 250: no pixel of it


def _with_alpha(mode: str, hidden: int) -> Image.Image:
    """Show SHOWN in the upper half; below, hide another grey under full transparency."""
    pixels = SHOWN.copy()
    pixels[14:] = hidden
    picture = Image.fromarray(pixels)
    alpha = np.full_like(SHOWN, 255)
    alpha[14:] = 0
    picture = picture.convert("LA" if mode == "LA" else "RGBA")
    picture.putalpha(Image.fromarray(alpha))
    return picture


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("hidden", [0, 120, 255])
def test_what_lies_under_transparency_does_not_matter(
    tmp_path: Path, mode: str, hidden: int
) -> None:
    _with_alpha(mode, hidden).save(tmp_path / "a.png")
    _, images = read_pictures([tmp_path / "a.png"])
    assert np.array_equal(images[0][:14], SHOWN[:14])
    assert not images[0][14:].any()


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_is_shown_as_black(tmp_path: Path, mode: str) -> None:
    """The grey 250 marks transparency: of a palette, of a grey or a coloured picture (tRNS)."""
    pixels = SHOWN.copy()
    pixels[14:] = 250
    picture = Image.fromarray(pixels)
    key: int | tuple[int, int, int] = (250, 250, 250) if mode == "RGB" else 250
    picture.convert(mode).save(tmp_path / "a.png", transparency=key)
    _, images = read_pictures([tmp_path / "a.png"])
    assert np.array_equal(images[0][:14], SHOWN[:14])
    assert not images[0][14:].any()


def test_half_transparent_is_half_as_bright(tmp_path: Path) -> None:
    picture = Image.fromarray(SHOWN).convert("LA")
    picture.putalpha(128)
    picture.save(tmp_path / "a.png")
    _, images = read_pictures([tmp_path / "a.png"])
    np.testing.assert_allclose(images[0], SHOWN * (128 / 255), atol=1)


def test_of_a_cameras_jpeg_with_previews_the_first_is_taken(tmp_path: Path) -> None:
    first, preview = Image.fromarray(SHOWN), Image.new("L", (28, 28), 7)
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview], quality=95)
    first.save(tmp_path / "b.jpg", "JPEG", quality=95)
    with Image.open(tmp_path / "a.jpg") as written:
        assert written.format == "MPO"
    _, images = read_pictures([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert np.array_equal(images[0], images[1])
