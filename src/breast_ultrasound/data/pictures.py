"""Pictures of any size and format, as the thumbnails that everything here looks at."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dataset import SIDE
from breast_ultrasound.files import InputError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
MAX_PIXELS = 50_000_000  # a picture of more is refused before it is decoded
WIDE = ("I", "F")  # how Pillow's modes of more than 8 bits begin
TRANSFORM = "grey, 28×28 pixels by averaging areas"  # what `shrink` does
MAX_NAMES = 10  # of other files, that a message spells out


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder and those below it, by name.

    Raises:
        InputError: there are files, but none is a picture.
    """
    there = sorted(file for file in folder.rglob("*") if file.is_file())
    pictures = [file for file in there if file.suffix.lower() in SUFFIXES]
    if there and not pictures:
        found = ", ".join(sorted({file.suffix or file.name for file in there})[:MAX_NAMES])
        raise InputError(
            f"{folder}: expected pictures ({', '.join(sorted(SUFFIXES))}), got {found}; "
            "save them as PNG"
        )
    return pictures


@contextmanager
def open_picture(file: Path) -> Iterator["ImageFile"]:
    """Open a picture to be decoded within the block.

    Raises:
        InputError: it is no picture, or several, or too large, or cannot be decoded.
    """
    from PIL import Image, UnidentifiedImageError

    bombs = Image.DecompressionBombWarning, Image.DecompressionBombError
    try:
        with warnings.catch_warnings(action="ignore"):
            warnings.simplefilter("error", bombs[0])
            with Image.open(file) as image:
                _check_picture(file, image)
                yield image
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; give a picture or a folder of them") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{file}: expected an image, got another kind of file; remove it or save it as PNG"
        ) from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error}); remove or repair it") from None
    except Exception as error:  # of broken files, decoders raise nearly anything
        raise InputError(f"{file}: expected an image ({error}); remove or repair it") from None


def _check_picture(file: Path, image: "ImageFile") -> None:
    """Refuse what is no single picture of a size to decode; nothing is decoded yet."""
    if image.width * image.height > MAX_PIXELS:
        raise InputError(
            f"{file}: expected at most {MAX_PIXELS} pixels, "
            f"got {image.width}×{image.height}; remove it or scale it down"
        )
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1 and image.format != "MPO":  # a camera's JPEG, whose others are previews
        raise InputError(f"{file}: expected one picture, got {n_frames}; save one of them")


def read_pictures(paths: Sequence[Path]) -> tuple[list[Path], NDArray[np.uint8]]:
    """Read pictures, and all of those in folders.

    Returns:
        N files, and grey images (N, 28, 28) of them, as bright as they are.

    Raises:
        InputError: no pictures, or one that cannot be read, has more than 8 bits per grey level or
            shows nothing.
    """
    files = [file for path in paths for file in (pictures_in(path) if path.is_dir() else [path])]
    if not files:
        raise InputError(f"{', '.join(map(str, paths))}: expected pictures, got an empty folder")
    images = []
    for file in files:
        with open_picture(file) as picture:
            if not _has_eight_bits(picture):
                raise InputError(
                    f"{file}: expected 8 bits per grey level, got more; save it as an 8-bit PNG, "
                    "as bright as it is meant to be seen"
                )
            images.append(shrink(picture))
        if np.ptp(images[-1]) == 0:
            raise InputError(f"{file}: expected a picture, got the same grey everywhere")
    return files, np.stack(images)


def _has_eight_bits(image: "ImageFile") -> bool:
    """Tell before decoding: of 16 bits in colour, Pillow keeps the upper 8 of what it calls RGB."""
    stored = str(image.tile)  # RGB;16B and the like; BGR;16 has 16 bits in all
    return not image.mode.startswith(WIDE) and not re.search(";16[BLN]", stored)


def _on_black(image: "Image") -> "Image":
    """Lay a picture with transparency on black: what it hides is not shown, and may be anything."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA"))


def shrink(image: "Image") -> NDArray[np.uint8]:
    """Return a picture as grey (28, 28) uint8, as it is shown on black, by averaging areas.

    It is turned the way up that it is shown. Grey levels of more than 8 bits are stretched from
    black to white.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if not image.mode.startswith(WIDE):
        grey = _on_black(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        return np.asarray(grey, dtype=np.uint8)
    # convert("L") would clip. Correlation ignores gain and offset.
    wide = np.asarray(image.convert("F").resize((SIDE, SIDE), Image.Resampling.BOX))
    lowest, highest = float(wide.min()), float(wide.max())
    return ((wide - lowest) * (255 / ((highest - lowest) or 1))).round().astype(np.uint8)
