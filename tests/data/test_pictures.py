"""Pictures of formats that show something else than they hold."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from breast_ultrasound.data.pictures import look_into, open_picture, read_picture, to_square
from breast_ultrasound.files import InputError

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
    image = read_picture(tmp_path / "a.png", 28)
    assert np.array_equal(image[:14], SHOWN[:14])
    assert not image[14:].any()


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_is_shown_as_black(tmp_path: Path, mode: str) -> None:
    """The grey 250 marks transparency: of a palette, of a grey or a coloured picture (tRNS)."""
    pixels = SHOWN.copy()
    pixels[14:] = 250
    picture = Image.fromarray(pixels)
    key: int | tuple[int, int, int] = (250, 250, 250) if mode == "RGB" else 250
    picture.convert(mode).save(tmp_path / "a.png", transparency=key)
    image = read_picture(tmp_path / "a.png", 28)
    assert np.array_equal(image[:14], SHOWN[:14])
    assert not image[14:].any()


def test_half_transparent_is_half_as_bright(tmp_path: Path) -> None:
    picture = Image.fromarray(SHOWN).convert("LA")
    picture.putalpha(128)
    picture.save(tmp_path / "a.png")
    image = read_picture(tmp_path / "a.png", 28)
    np.testing.assert_allclose(image, SHOWN * (128 / 255), atol=1)


def test_of_a_cameras_jpeg_with_previews_the_first_is_taken(tmp_path: Path) -> None:
    first, preview = Image.fromarray(SHOWN), Image.new("L", (28, 28), 7)
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview], quality=95)
    first.save(tmp_path / "b.jpg", "JPEG", quality=95)
    with Image.open(tmp_path / "a.jpg") as written:
        assert written.format == "MPO"
    one, other = (read_picture(tmp_path / name, 28) for name in ("a.jpg", "b.jpg"))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(("width", "height"), [(41, 28), (28, 43), (28, 28), (100, 57)])
def test_the_centre_of_the_long_side_is_kept(width: int, height: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    short = min(width, height)
    left, top = round((width - short) / 2), round((height - short) / 2)
    square = Image.fromarray(pixels[top : top + short, left : left + short])
    expected = np.asarray(square.resize((28, 28), Image.Resampling.BILINEAR))
    assert np.array_equal(to_square(Image.fromarray(pixels), 28), expected)


def test_a_picture_is_turned_the_way_up_that_it_is_shown(tmp_path: Path) -> None:
    picture = Image.fromarray(SHOWN)
    exif = picture.getexif()
    exif[274] = 3  # upside down
    picture.save(tmp_path / "a.png", exif=exif)
    image = read_picture(tmp_path / "a.png", 28)
    assert np.array_equal(image, SHOWN[::-1, ::-1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_grey_levels_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    pixels = SHOWN.astype(np.float32)
    pixels[3, 4] = value
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with (
        pytest.raises(InputError, match="expected finite grey levels"),
        open_picture(tmp_path / "a.tif") as picture,
    ):
        to_square(picture, 28)


def test_what_folders_hold_besides_is_left_out_and_counted(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jfif", "a_mask.png", ".hidden.png", "x_MASK_2.png"):
        Image.fromarray(SHOWN).save(tmp_path / name, "JPEG" if name == "a.jfif" else "PNG")
    (tmp_path / "notes.docx").write_text("?")
    content = look_into(tmp_path, tmp_path)
    assert [file.name for file in content.pictures] == ["a.jfif", "b.PNG"]
    assert {words: n for words, n in content.counts().items() if n} == {
        "masks left out": 2,
        "files left out, .docx": 1,
    }
    content = look_into(tmp_path, tmp_path, ["a.*"])
    assert [file.name for file in content.pictures] == ["b.PNG"]
    assert content.counts()["excluded by pattern"] == 1
