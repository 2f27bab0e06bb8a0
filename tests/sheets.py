"""What a sheet of images shows, read off its pixels."""

import re
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(sheet: Path) -> np.ndarray:
    """Return (H, W, 3) uint8."""
    with Image.open(sheet) as opened:
        return np.asarray(opened.convert("RGB"))


def shows(sheet: Path, image: np.ndarray) -> bool:
    """Return whether every row of a grey image is in a row of the sheet, four times as large."""
    red, green, blue = np.moveaxis(pixels(sheet), 2, 0)
    rows = np.where((red == green) & (green == blue), red, 255)
    lines = b"\n".join(np.unique(rows, axis=0))
    return all(re.search(_enlarged(row), lines) for row in image)


def _enlarged(row: np.ndarray) -> bytes:
    """Return a pattern of three to five pixels for each one, of its grey or one darker."""
    pixel = "[\\x{:02x}\\x{:02x}]{{3,5}}"  # matplotlib rounds some greys down
    return "".join(pixel.format(max(grey - 1, 0), grey) for grey in row.tolist()).encode()


def amount(sheet: Path, colour: str) -> int:
    """Return the number of pixels of a colour, as `#rrggbb`."""
    return int((pixels(sheet) == list(bytes.fromhex(colour[1:]))).all(axis=2).sum())
