"""Where the images come from: an official file by its MD5, own images, or phantoms."""

import hashlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.official import read_official
from breast_ultrasound.data.own_images import read_own_images
from breast_ultrasound.data.phantom import make_phantoms
from breast_ultrasound.files import (
    InputError,
    array_names,
    atomic,
    cache_folder,
    expand,
    write_arrays,
)
from breast_ultrasound.params import DataParams, OwnImages

# Of the official files by pixels a side: medmnist.INFO["breastmnist"]["MD5"], ["MD5_64"] and so on,
# without the seconds that importing medmnist takes.
OFFICIAL_MD5 = {
    28: "750601b1f35ba3300ea97c75c52ff8f6",
    64: "742edef2a1fd1524b2efff4bd7ba9364",
    128: "363e4b3f8d712e9b5de15470a2aaadf1",
    224: "b56378a6eefa9fed602bb16d192d4c8b",
}


def fetch(data: DataParams, target: Path, cache: Path | None) -> list[str]:
    """Put the images that params.yaml names into one file, and return lines on them."""
    match data.name:
        case "breastmnist":
            origin = fetch_official(data.size, data.search_path, target, cache)
            return [f"{target}: the official file, from {origin}, MD5 verified"]
        case "images":
            images, counts = read_own_images(data, data.size)
            images.save(target)
            return [f"{target}: {len(images)} images of {data.images}", *_lines(counts)]
        case "phantom":
            write_arrays(target, make_phantoms(data.n_phantoms, data.phantom_seed, data.size))
            return [f"{target}: {data.n_phantoms} generated phantoms, not real images"]


def fetch_also_train(own: OwnImages, side: int, target: Path) -> list[str]:
    """Put the further images to learn from into one file, and return lines on them.

    A folder that holds no more than a README, as the shipped one, gives a file of no images.
    """
    folder = expand(own.images)
    if own.table is None and folder.is_dir():
        names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
        if names <= {"README.md"}:
            ImageSet.of(np.zeros((0, side, side), np.uint8), np.zeros(0, np.bool_)).save(target)
            return []
    images, counts = read_own_images(own, side)
    images.save(target)
    return [f"{target}: {len(images)} images of {own.images}, to learn from", *_lines(counts)]


def _lines(counts: Mapping[str, int]) -> list[str]:
    return [f"{count} {words}" for words, count in counts.items() if count]


def read_source(path: Path) -> ImageSet:
    """Read the file that `fetch` put there: in BreastMNIST's format, or an image set."""
    return ImageSet.load(path) if "thumbnails" in array_names(path) else read_official(path)


def file_name(side: int) -> str:
    """Return the name of the official file of images of `side` pixels a side."""
    return "breastmnist.npz" if side == 28 else f"breastmnist_{side}.npz"


def fetch_official(side: int, search_path: Sequence[str], target: Path, cache: Path | None) -> Path:
    """Put the official file at `target`, from the first place that has it whole.

    Args:
        side: 28, 64, 128 or 224 pixels.
        search_path: folders, see `expand`, tried in order, after what was kept, before the network.
        target: where the file goes; it appears complete and verified, or not at all.
        cache: the program's cache folder, see `cache_folder`. The file is kept there too: DVC
            removes `target` before it runs the stage again.

    Returns:
        The file it was copied from, or `target` when it came from the network.

    Raises:
        InputError: no place had the file with the right MD5; the message lists each and why.
    """
    md5 = OFFICIAL_MD5[side]
    kept = _place_in_cache(cache, md5)
    files, tried = _files_of(search_path, file_name(side))
    own = [place for place in (kept, _place_in_dvcs_cache(md5)) if place]
    with tempfile.TemporaryDirectory() as downloads:
        for candidate in [*own, *files, None]:  # None: the network
            try:
                content = _verified(candidate or _download(side, Path(downloads)), md5)
            except (OSError, RuntimeError) as error:
                if candidate not in own:
                    tried.append(f"{candidate or 'the network'}: {' '.join(str(error).split())}")
                continue
            with atomic(target) as temporary:
                temporary.write_bytes(content)
            if kept and candidate != kept:
                _keep(content, kept)
            return candidate or target
    raise InputError(
        f"{file_name(side)} (MD5 {md5}) was not found. Tried " + "; ".join(tried) + ". "
        "Download it from https://zenodo.org/records/10519652 into a folder of data.search_path "
        "in params.yaml, or add yours there"
    )


def read_kept(side: int, search_path: Sequence[str], cache: Path | None) -> ImageSet:
    """Return the images of the official file of a size, which is found as `fetch_official` does."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, file_name(side))
        fetch_official(side, search_path, target, cache)
        return read_official(target)


def _files_of(search_path: Sequence[str], name: str) -> tuple[list[Path], list[str]]:
    """Return the file's path in each folder, and what is wrong with folders that are not to be had.

    A user without a home, as in some containers, can still have the file elsewhere.
    """
    files, problems = [], []
    for folder in search_path:
        try:
            files.append(expand(folder) / name)
        except InputError as error:
            problems.append(str(error))
    return files, problems


def _place_in_cache(cache: Path | None, md5: str) -> Path | None:
    """Return where the file is kept; None for a user without a home who named no cache folder."""
    try:
        return cache_folder(cache) / "data" / f"{md5}.npz"
    except InputError:
        if cache is not None:
            raise
        return None


def _place_in_dvcs_cache(md5: str) -> Path:
    """Return where DVC keeps the file once the stage has run, unless it is told another folder."""
    return expand(".dvc/cache/files/md5") / md5[:2] / md5[2:]


def _keep(content: bytes, place: Path) -> None:
    """Keep the file in the cache; that it cannot be kept is said and stops nothing."""
    try:
        with atomic(place) as temporary:
            temporary.write_bytes(content)
    except (OSError, InputError) as error:
        print(f"warning: {place}: the file is not kept there ({error})", file=sys.stderr)


def _verified(path: Path, md5: str) -> bytes:
    """Return the file's bytes when their MD5 is right; raise OSError when not."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OSError((error.strerror or str(error)).lower()) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise OSError(f"wrong MD5 {found}, so not the official file")
    return content


def _download(side: int, folder: Path) -> Path:
    """Let medmnist fetch the file into `folder`; raises RuntimeError when it cannot."""
    from medmnist import BreastMNIST

    try:
        BreastMNIST(split="train", download=True, root=str(folder), size=side)
    except RuntimeError as error:  # medmnist's own text hides the reason behind a page of advice
        raise RuntimeError(f"download failed: {error.__context__ or error}") from None
    return folder / file_name(side)
