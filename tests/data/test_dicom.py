"""DICOM files, written here, against what they are meant to show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, UltrasoundImageStorage

from breast_ultrasound.data.pictures import look_into, open_picture, read_picture
from breast_ultrasound.files import InputError

GREYS = np.arange(28 * 28).reshape(28, 28).astype(np.float64) / (28 * 28 - 1)  # 0 to 1


def write(path: Path, pixels: np.ndarray, **tags: Any) -> Path:
    """Write pixels, (H, W), (H, W, 3) or with frames before that, as a DICOM file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    content = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    coloured = pixels.shape[-1] == 3
    bits = 8 * pixels.dtype.itemsize
    values: dict[str, Any] = {
        "SOPClassUID": UltrasoundImageStorage,
        "SOPInstanceUID": "1.2.3",
        "PhotometricInterpretation": "RGB" if coloured else "MONOCHROME2",
        "SamplesPerPixel": 3 if coloured else 1,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": 0,
        "Rows": pixels.shape[-3 if coloured else -2],
        "Columns": pixels.shape[-2 if coloured else -1],
        **({"PlanarConfiguration": 0} if coloured else {}),
        **tags,
    }
    values["HighBit"] = values["BitsStored"] - 1
    for name, value in values.items():
        setattr(content, name, value)
    compressed = meta.TransferSyntaxUID.is_compressed
    content.PixelData = encapsulate([b"no picture"]) if compressed else pixels.tobytes()
    content.save_as(path, enforce_file_format=True)
    return path


def _region(box: tuple[int, int, int, int], kind: int = 1) -> Dataset:
    """Return a region from (left, top) to (right, bottom), both included."""
    region = Dataset()
    region.RegionSpatialFormat = kind
    ends = ("MinX0", "MinY0", "MaxX1", "MaxY1")
    for end, value in zip(ends, box, strict=True):
        setattr(region, f"RegionLocation{end}", value)
    return region


def test_eight_bits_are_read_as_they_are(tmp_path: Path) -> None:
    pixels = (GREYS * 255).round().astype(np.uint8)
    assert np.array_equal(read_picture(write(tmp_path / "a.dcm", pixels), 28), pixels)
    # Whatever the file is called.
    assert np.array_equal(read_picture(write(tmp_path / "IM0001", pixels), 28), pixels)
    assert [file.name for file in look_into(tmp_path, tmp_path).pictures] == ["a.dcm"]
    coloured = pixels[..., None].repeat(3, axis=2)
    assert np.array_equal(read_picture(write(tmp_path / "b.dcm", coloured), 28), pixels)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    pixels = (GREYS * 255).round().astype(np.uint8)
    file = write(tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_picture(file, 28), 255 - pixels)


def test_a_window_says_what_is_black_and_white(tmp_path: Path) -> None:
    pixels = (GREYS * 4095).round().astype(np.uint16)
    window = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 2048}
    found = read_picture(write(tmp_path / "a.dcm", pixels, **window), 28).astype(float)
    expected = ((pixels.astype(float) - 1024) / 2048).clip(0, 1) * 255
    np.testing.assert_allclose(found, expected, atol=1)
    # Rescaled values, of which the window is.
    moved = {**window, "WindowCenter": 1048, "RescaleSlope": 1, "RescaleIntercept": -1000}
    again = read_picture(write(tmp_path / "b.dcm", pixels, **moved), 28).astype(float)
    np.testing.assert_allclose(again, expected, atol=1)
    # Dark images are not stretched.
    dark = read_picture(write(tmp_path / "c.dcm", pixels // 2 + 512, **window), 28)
    assert 180 < dark.max() < 200


def test_without_a_window_the_range_that_can_be_stored_is_shown(tmp_path: Path) -> None:
    pixels = (GREYS * 2000).round().astype(np.uint16)
    found = read_picture(write(tmp_path / "a.dcm", pixels, BitsStored=12), 28)
    np.testing.assert_allclose(found, GREYS * 2000 / 4095 * 255, atol=1)


def test_the_largest_region_of_tissue_is_cut_out(tmp_path: Path) -> None:
    screen = np.full((80, 100), 7, dtype=np.uint8)
    pixels = (GREYS * 255).round().astype(np.uint8)
    screen[20:48, 30:58] = pixels
    regions = Sequence([
        _region((0, 0, 9, 9)),
        _region((30, 20, 57, 47)),
        _region((0, 50, 99, 79), kind=3),  # a spectrum
    ])  # fmt: skip
    file = write(tmp_path / "a.dcm", screen, SequenceOfUltrasoundRegions=regions)
    assert np.array_equal(read_picture(file, 28), pixels)
    beyond = Sequence([_region((30, 20, 100, 80))])  # the column and row after the last
    write(tmp_path / "c.dcm", screen, SequenceOfUltrasoundRegions=beyond)
    assert read_picture(tmp_path / "c.dcm", 28).shape == (28, 28)
    whole = read_picture(write(tmp_path / "b.dcm", screen), 28)
    assert whole[0, 0] == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"NumberOfFrames": 2}, "expected one frame, got 2; save one of them"),
        ({"syntax": JPEG2000Lossless}, "its pixels cannot be read"),
        ({"Rows": 29}, "its pixels cannot be read"),
        ({"WindowCenter": 9, "WindowWidth": 0}, r"as its header says \(.*Window Width"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "as its header says"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "as its header says"),
        ({"SequenceOfUltrasoundRegions": Sequence([_region((9, 9, 3, 3))])}, "no pixels"),
        ({"SequenceOfUltrasoundRegions": Sequence([_region((90, 90, 99, 99))])}, "outside of the"),
    ],
)
def test_what_is_no_single_picture_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    pixels = np.zeros((change.get("NumberOfFrames", 1), 28, 28), dtype=np.uint8)
    file = write(tmp_path / "a.dcm", pixels, **change)
    with pytest.raises(InputError, match=message), open_picture(file):
        pass


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.dcm", np.zeros((28, 28), dtype=np.uint8))
    file.write_bytes(file.read_bytes()[:140])
    with pytest.raises(InputError, match=r"a\.dcm: "), open_picture(file):
        pass
