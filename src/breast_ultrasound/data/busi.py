"""What is known of BUSI, the set that BreastMNIST was made of: files, kinds, the experts' groups.

Al-Dhabyani et al. 2020, https://doi.org/10.1016/j.dib.2019.104863; the duplicates: Pawłowska et al.
2023, https://doi.org/10.1016/j.dib.2023.109247.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.tables import read_columns
from breast_ultrasound.files import InputError, expand

FOLDER = "busi"
FILES = "breastmnist_to_busi.csv"
DUPLICATES = "duplicates_pawlowska2023.csv"
KINDS = ("benign", "malignant", "normal")


def find_busi(search_path: Sequence[str]) -> Path:
    """Return the folder of what is known of BUSI, the first on the search path.

    Raises:
        InputError: it is in no folder of the path; the message says where to get it.
    """
    for place in search_path:
        try:
            folder = expand(place) / FOLDER
        except InputError:  # no home
            continue
        if all((folder / name).is_file() for name in (FILES, DUPLICATES)):
            return folder
    raise InputError(
        f"the experts' list of BUSI's duplicates was not found as {FOLDER}/{DUPLICATES}, with "
        f"{FILES} beside it (split, index, busi_class, busi_file of each BreastMNIST image), in "
        f"{', '.join(search_path)}: download the list from "
        f"https://data.mendeley.com/datasets/k8t3gnx9h6 into a folder of data.search_path"
    )


def read_files(folder: Path, images: ImageSet) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Return BUSI's class and file of each BreastMNIST image, (N,) str each; files without suffix.

    Raises:
        InputError: an image is not in the table, or under another label than its own.
    """
    path = folder / FILES
    table = read_columns(path, ["split", "index", "busi_class", "busi_file"])
    rows = {
        f"{split}[{index}]": (kind, Path(file).stem)
        for split, index, kind, file in zip(*table.values(), strict=True)
    }
    for name, malignant in zip(images.name.tolist(), images.malignant.tolist(), strict=True):
        kind = rows.get(name, ("none",))[0]
        if kind not in KINDS or malignant != (kind == "malignant"):
            truth = "malignant" if malignant else "benign or normal"
            raise InputError(
                f"{path}: expected every image of BreastMNIST, {name} as {truth}, got {kind}; "
                "it is of data.name: breastmnist alone"
            )
    kinds, files = zip(*(rows[name] for name in images.name.tolist()), strict=True)
    return np.array(kinds, dtype=np.str_), np.array(files, dtype=np.str_)


def read_kinds(search_path: Sequence[str], images: ImageSet) -> NDArray[np.str_]:
    """Return benign, malignant or normal of each image, (N,), where it can be known.

    Without BUSI's files, or for other images, it is the label; a line on stderr says so.
    """
    try:
        return read_files(find_busi(search_path), images)[0]
    except InputError as error:
        print(f"warning: normal images count as benign: {error}", file=sys.stderr)
        return np.where(images.malignant, "malignant", "benign")


def read_expert_groups(folder: Path, files: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return the experts' group of each file, (N,) int64; a file in none is a group of its own.

    Groups are written as `{benign (1)&benign (318)}`.

    Raises:
        InputError: a group written otherwise, a file in two groups, or no group of two of `files`.
    """
    path, group_of = folder / DUPLICATES, dict[str, int]()
    cells = read_columns(path, ["Filename"])["Filename"]
    for number, cell in enumerate(cells):
        names = [name.strip() for name in cell[1:-1].split("&")]
        if not (cell.startswith("{") and cell.endswith("}") and all(names)):
            raise InputError(f"{path}: expected groups as {{benign (1)&benign (318)}}, got {cell}")
        twice = [name for name in names if group_of.setdefault(name, number) != number]
        if twice:
            raise InputError(f"{path}: expected each file in one group, got {twice[0]} in two")
    group = [group_of.get(name, len(cells) + i) for i, name in enumerate(files.tolist())]
    if len(set(group)) == len(group):
        raise InputError(f"{path}: expected groups of two files or more of BUSI's, got none")
    return np.array(group, dtype=np.int64)
