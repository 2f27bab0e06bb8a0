"""BUS-BRA: breast ultrasound images of another hospital, by patient.

Gómez-Flores, Gregorio-Calas and Pereira 2024, Medical Physics, https://doi.org/10.1002/mp.16812.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.dev_and_test import grouped
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.own_images import read_own_images
from breast_ultrasound.data.pictures import read_picture
from breast_ultrasound.files import InputError, expand
from breast_ultrasound.params import ColumnParams, OwnImages

FOLDER, TABLE = "busbra", "bus_data.csv"
SUBGROUPS = ["Device", "BIRADS", "Histology"]


def find_busbra(search_path: Sequence[str]) -> Path:
    """Return the folder of BUS-BRA, the first on the search path.

    Raises:
        InputError: it is in no folder of the path; the message says where to get it.
    """
    for place in search_path:
        try:
            folder = expand(place) / FOLDER
        except InputError:  # no home
            continue
        if (folder / TABLE).is_file():
            return folder
    raise InputError(
        f"BUS-BRA was not found as {FOLDER}/{TABLE} in {', '.join(search_path)}: download it from "
        f"https://zenodo.org/records/8231412 and unpack it as {FOLDER}, with {TABLE} and Images/, "
        "into a folder of data.search_path in params.yaml"
    )


def read_busbra(folder: Path, side: int, near_duplicate_correlation: float) -> ImageSet:
    """Read the patients with an even case number, grouped by patient and near-duplicates.

    The others are left for whoever tests what was built here.
    """
    columns = ColumnParams(
        image="Images/{ID}.png", label="Pathology", patient="Case", split=None, subgroups=SUBGROUPS
    )
    own = OwnImages(
        images=str(folder),
        table=TABLE,
        columns=columns,
        malignant=["malignant"],
        benign=["benign"],
        exclude=[],
    )
    images = read_own_images(own, side)[0]
    return grouped(images.subset(_case(images) % 2 == 0), near_duplicate_correlation)


def read_masks(folder: Path, images: ImageSet) -> NDArray[np.bool_]:
    """Return where the lesion is in images of BUS-BRA, (N, S, S) bool.

    Raises:
        InputError: a mask is not there or cannot be read, or shows nothing at this size.
    """
    masks = np.zeros(images.images.shape, dtype=np.bool_)
    for i, name in enumerate(images.name.tolist()):
        file = folder / "Masks" / Path(name).name.replace("bus_", "mask_")
        masks[i] = read_picture(file, images.side) >= 128
    return masks


def reports(images: ImageSet) -> NDArray[np.bool_]:
    """Return which images of BUS-BRA report, (N,): cases that are no multiple of 4.

    The others have chosen between settings (docs/lab-notes.md).
    """
    return np.asarray(_case(images) % 4 != 0)


def _case(images: ImageSet) -> NDArray[np.int64]:
    return images.patient.astype(np.int64)
