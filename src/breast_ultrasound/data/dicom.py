"""DICOM files as pictures: as bright as they are meant to be seen, the ultrasound region alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.files import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

PREAMBLE, MARK = 128, b"DICM"  # bytes before the mark
TISSUE = 1  # Region Spatial Format (0018,6012): 2D, tissue or flow (DICOM PS3.3, C.8.5.5.1.1)
COLOURS = ("RGB", "YBR_", "PALETTE COLOR")  # how photometric interpretations in colour begin


def is_dicom(file: Path) -> bool:
    """Whether a file is DICOM, by its mark."""
    try:
        with file.open("rb") as opened:
            return opened.read(PREAMBLE + len(MARK))[PREAMBLE:] == MARK
    except OSError:
        return False


def read_dicom(file: Path) -> "Image":
    """Return a DICOM file of one frame as a picture of 8 bits, grey or RGB.

    Values are rescaled and windowed as the file says; without a window the range that can be stored
    goes from black to white. MONOCHROME1 is inverted. Where the file names ultrasound regions, the
    largest 2D one is cut out: names and scales beside it are not shown.

    Raises:
        InputError: it has several frames, no pixels, or pixels that nothing here can decode.
    """
    import pydicom
    from PIL import Image

    try:
        content = pydicom.dcmread(file)
        n_frames = int(content.get("NumberOfFrames") or 1)
    except Exception as error:  # of broken files, readers raise nearly anything
        raise InputError(f"{file}: expected a DICOM file ({error}); remove or repair it") from None
    if n_frames > 1:
        raise InputError(
            f"{file}: expected one frame, got {n_frames}; save one of them as a file of its own"
        )
    try:
        pixels = content.pixel_array  # pydicom makes YBR RGB
    except Exception as error:
        raise InputError(
            f"{file}: its pixels cannot be read ({error}); save it uncompressed, or as PNG"
        ) from None
    try:
        return Image.fromarray(_region(_eight_bits(pixels, content), content))
    except Exception as error:
        raise InputError(
            f"{file}: cannot be shown as its header says ({error}); mend the header, or save it as "
            "PNG"
        ) from None


def _eight_bits(pixels: NDArray[Any], content: Any) -> NDArray[np.uint8]:
    """Return pixels (H, W) or (H, W, 3) as they are meant to be seen, from 0 to 255."""
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

    kind = str(content.PhotometricInterpretation)
    if kind.startswith(COLOURS):
        if kind == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, content)
        return (pixels >> (8 if pixels.dtype.itemsize > 1 else 0)).astype(np.uint8)
    values = apply_voi_lut(apply_modality_lut(pixels, content), content).astype(np.float64)
    black, white = _range(content)
    values = ((values - black) * (255 / (white - black))).clip(0, 255)
    return (255 - values if kind == "MONOCHROME1" else values).round().astype(np.uint8)


def _range(content: Any) -> tuple[float, float]:
    """Return the values that are black and white once rescaled and windowed."""
    from pydicom.pixels.processing import apply_modality_lut

    if "VOILUTSequence" in content:
        return 0.0, 2.0 ** content.VOILUTSequence[0].LUTDescriptor[2] - 1
    lowest = -(2 ** (content.BitsStored - 1)) if content.PixelRepresentation else 0
    stored = np.array([lowest, lowest + 2**content.BitsStored - 1])
    black, white = apply_modality_lut(stored, content).astype(np.float64)
    return float(black), float(white)


def _region(pixels: NDArray[np.uint8], content: Any) -> NDArray[np.uint8]:
    """Return the largest 2D region that the file names, or everything where it names none."""
    boxes = [
        tuple(
            int(region[f"RegionLocation{end}"].value)
            for end in ("MinY0", "MaxY1", "MinX0", "MaxX1")
        )
        for region in content.get("SequenceOfUltrasoundRegions") or []
        if region.get("RegionSpatialFormat") == TISSUE
    ]
    if not boxes:
        return pixels
    top, bottom, left, right = max(boxes, key=lambda box: (box[1] - box[0]) * (box[3] - box[2]))
    height, width = pixels.shape[:2]
    # Some scanners name the row and the column after the last.
    bottom, right = min(bottom, height - 1), min(right, width - 1)
    if not (0 <= top < bottom and 0 <= left < right):
        raise ValueError("an ultrasound region outside of the picture, or of no pixels")
    return np.ascontiguousarray(pixels[top : bottom + 1, left : right + 1])
