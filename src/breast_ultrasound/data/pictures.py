"""Pictures of any size and format: finding, opening and scaling them."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dicom import is_dicom, read_dicom
from breast_ultrasound.files import InputError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

SUFFIXES = frozenset(
    f".{kind}"
    for kind in ("png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "gif", "tif", "tiff", "webp",
                 "pbm", "pgm", "ppm", "pnm", "dcm", "dicom")
)  # fmt: skip
MIN_SIDE = 28  # pixels; an array of fewer is no image, but an image cut up
MAX_PIXELS = 50_000_000  # a picture of more is refused before it is decoded
WIDE = ("I", "F")  # how Pillow's modes of more than 8 bits begin
TRANSFORM = "grey, centre crop to the short side, bilinear"  # what `to_square` does
SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "icon\r"})
MASK = re.compile(r"_mask(_\d+)?$", re.IGNORECASE)  # at the end of a file's name, as BUSI has it
MASK_FOLDERS = frozenset({"mask", "masks"})


@dataclass
class FolderContent:
    """What a folder and those below it hold.

    Attributes:
        pictures: by name.
        n_masks: pictures that are masks, or lie in a folder of masks.
        n_excluded: files and folders by the patterns given.
        others: other files, counted by suffix, or by name where they have none.
    """

    pictures: list[Path] = field(default_factory=list)
    n_masks: int = 0
    n_excluded: int = 0
    others: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, int]:
        """Return what was left out: numbers by words."""
        words = {"masks left out": self.n_masks, "excluded by pattern": self.n_excluded}
        return words | {f"files left out, {kind}": n for kind, n in sorted(self.others.items())}


def look_into(folder: Path, root: Path, exclude: Sequence[str] = ()) -> FolderContent:
    """Return what a folder and those below it hold, without hidden and system files.

    Links are followed within `root`.

    Args:
        exclude: patterns of paths below `root`, or of names.

    Raises:
        InputError: a link leads out of `root`.
    """
    content = FolderContent()
    _look_into(folder, root, exclude, content, (root.resolve(), folder.resolve()))
    return content


def _look_into(
    folder: Path,
    root: Path,
    exclude: Sequence[str],
    content: FolderContent,
    above: tuple[Path, ...],
) -> None:
    for entry in sorted(folder.iterdir()):
        place = entry.relative_to(root).as_posix()
        if is_hidden(entry.name):
            continue
        if is_excluded(place, exclude):
            content.n_excluded += 1
        elif entry.is_dir():
            target = within(entry, root)
            if target not in above:  # else a link leads in a circle
                _look_into(entry, root, exclude, content, (*above, target))
        elif entry.suffix.lower() not in SUFFIXES:
            content.others[entry.suffix.lower() or entry.name] += 1
        elif is_mask(Path(place)):
            content.n_masks += 1
        else:
            within(entry, root)
            content.pictures.append(entry)


def is_excluded(place: str, exclude: Sequence[str]) -> bool:
    """Whether a path, or its name, is of one of the patterns."""
    name = place.rpartition("/")[2]
    return any(fnmatch(place, pattern) or fnmatch(name, pattern) for pattern in exclude)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or of the system: `._3.png`, `Thumbs.db`, `__MACOSX`."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def is_mask(path: Path) -> bool:
    """Whether a picture is a mask, by its name or the folder it lies in."""
    in_folder = any(part.lower() in MASK_FOLDERS for part in path.parts[:-1])
    return in_folder or MASK.search(path.stem) is not None


def within(path: Path, root: Path) -> Path:
    """Return where a path leads, links followed; raises InputError where that is not in `root`."""
    target = path.resolve()
    if not target.is_relative_to(root.resolve()):
        raise InputError(f"{path}: expected a file in {root}, got a link out of it; copy it there")
    return target


@contextmanager
def open_picture(file: Path) -> Iterator["Image"]:
    """Open a picture to be decoded within the block.

    Raises:
        InputError: it is no picture, or several, or too large, or cannot be decoded.
    """
    from PIL import Image, UnidentifiedImageError

    if is_dicom(file):
        yield read_dicom(file)
        return
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


def read_picture(file: Path, side: int) -> NDArray[np.uint8]:
    """Return a picture as grey (side, side) uint8, as bright as it is; see `to_square`.

    Raises:
        InputError: it cannot be read, has more than 8 bits per grey level or shows nothing.
    """
    with open_picture(file) as picture:
        if not _has_eight_bits(picture):
            raise InputError(
                f"{file}: expected 8 bits per grey level, got more; save it as an 8-bit PNG, "
                "as bright as it is meant to be seen"
            )
        image = to_square(picture, side)
    check_shown(image, str(file))
    return image


def read_array(image: NDArray[np.uint8], side: int, name: str) -> NDArray[np.uint8]:
    """Return an image (H, W), (H, W, 1) or (H, W, 3) as `read_picture` does a picture.

    Args:
        name: of the image, for messages.

    Raises:
        InputError: it has fewer than 28 pixels a side, or shows nothing.
    """
    if min(image.shape[:2]) < MIN_SIDE:
        raise InputError(
            f"{name}: expected at least {MIN_SIDE} pixels a side, "
            f"got {' × '.join(map(str, image.shape))}"
        )
    square = array_to_square(image, side)
    check_shown(square, name)
    return square


def check_shown(image: NDArray[np.uint8], name: str) -> None:
    """Raise InputError where an image shows nothing."""
    if np.ptp(image) == 0:
        raise InputError(f"{name}: expected a picture, got the same grey everywhere")


def _has_eight_bits(image: "Image") -> bool:
    """Tell before decoding: of 16 bits in colour, Pillow keeps the upper 8 of what it calls RGB."""
    stored = str(getattr(image, "tile", ""))  # RGB;16B and the like; BGR;16 has 16 bits in all
    return not image.mode.startswith(WIDE) and not re.search(";16[BLN]", stored)


def to_square(image: "Image", side: int) -> NDArray[np.uint8]:
    """Return a picture as grey (side, side) uint8, as MedMNIST makes its images.

    Grey, the centre cropped to the short side, PIL's bilinear filter: from BUSI's originals it
    gives BreastMNIST's 64-, 128- and 224-pixel images to the byte (Yang et al. 2023,
    https://doi.org/10.1038/s41597-022-01721-8). Before that the picture is turned the way up that
    it is shown, and laid on black: what transparency hides is not shown. Grey levels of more than 8
    bits are stretched from black to white.

    Raises:
        ValueError: its grey levels are not all finite.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    wide = image.mode.startswith(WIDE)
    grey = image.convert("F") if wide else _on_black(image).convert("L")
    if wide and not np.isfinite(np.asarray(grey)).all():
        raise ValueError("expected finite grey levels, got NaN or infinity")
    short = min(grey.size)
    left, top = (round((length - short) / 2) for length in grey.size)
    square = grey.crop((left, top, left + short, top + short))
    scaled = np.asarray(square.resize((side, side), Image.Resampling.BILINEAR))
    if not wide:
        return np.asarray(scaled, dtype=np.uint8)
    # convert("L") would clip. Correlation ignores gain and offset.
    lowest, highest = float(scaled.min()), float(scaled.max())
    return ((scaled - lowest) * (255 / ((highest - lowest) or 1))).round().astype(np.uint8)


def array_to_square(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return an image (H, W), (H, W, 1) or (H, W, 3) as grey (side, side); see `to_square`."""
    from PIL import Image

    grey = image[..., 0] if image.shape[2:] == (1,) else image
    return grey if grey.shape == (side, side) else to_square(Image.fromarray(grey), side)


def _on_black(image: "Image") -> "Image":
    """Lay a picture with transparency on black: what it hides is not shown, and may be anything."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA"))
