"""Finding the official file: what was kept, the search path, the network. The MD5 decides."""

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from breast_ultrasound.files import InputError, atomic, cache_folder, expand

FILE_NAME = "breastmnist.npz"
# medmnist.INFO["breastmnist"]["MD5"], without the seconds that importing medmnist takes.
OFFICIAL_MD5 = "750601b1f35ba3300ea97c75c52ff8f6"


def fetch_official(search_path: Sequence[str], target: Path, cache: Path | None) -> Path:
    """Put the official file at `target`, from the first place that has it whole.

    Args:
        search_path: folders, see `expand`, tried in order, after what was kept, before the network.
        target: where the file goes; it appears complete and verified, or not at all.
        cache: the program's cache folder, see `cache_folder`. The file is kept there too: DVC
            removes `target` before it runs the stage again.

    Returns:
        The file it was copied from, or `target` when it came from the network.

    Raises:
        InputError: no place had the file with the right MD5; the message lists each and why.
    """
    kept = _place_in_cache(cache)
    files, tried = _files_of(search_path)
    own = [place for place in (kept, _place_in_dvcs_cache()) if place]
    with tempfile.TemporaryDirectory() as downloads:
        for candidate in [*own, *files, None]:  # None: the network
            try:
                content = _verified(candidate or _download(Path(downloads)))
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
        f"{FILE_NAME} (MD5 {OFFICIAL_MD5}) was not found. Tried " + "; ".join(tried) + ". "
        "Download it from https://zenodo.org/records/10519652 into a folder of data.search_path "
        "in params.yaml, or add yours there"
    )


def _files_of(search_path: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the file's path in each folder, and what is wrong with folders that are not to be had.

    A user without a home, as in some containers, can still have the file elsewhere.
    """
    files, problems = [], []
    for folder in search_path:
        try:
            files.append(expand(folder) / FILE_NAME)
        except InputError as error:
            problems.append(str(error))
    return files, problems


def _place_in_cache(cache: Path | None) -> Path | None:
    """Return where the file is kept; None for a user without a home who named no cache folder."""
    try:
        return cache_folder(cache) / "data" / f"{OFFICIAL_MD5}.npz"
    except InputError:
        if cache is not None:
            raise
        return None


def _place_in_dvcs_cache() -> Path:
    """Return where DVC keeps the file once the stage has run, unless it is told another folder."""
    return expand(".dvc/cache/files/md5") / OFFICIAL_MD5[:2] / OFFICIAL_MD5[2:]


def _keep(content: bytes, place: Path) -> None:
    """Keep the file in the cache; that it cannot be kept is said and stops nothing."""
    try:
        with atomic(place) as temporary:
            temporary.write_bytes(content)
    except (OSError, InputError) as error:
        print(f"warning: {place}: the file is not kept there ({error})", file=sys.stderr)


def _verified(path: Path) -> bytes:
    """Return the file's bytes when their MD5 is right; raise OSError when not."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OSError((error.strerror or str(error)).lower()) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != OFFICIAL_MD5:
        raise OSError(f"wrong MD5 {found}, so not the official file")
    return content


def _download(folder: Path) -> Path:
    """Let medmnist fetch the file into `folder`; raises RuntimeError when it cannot."""
    from medmnist import BreastMNIST

    try:
        BreastMNIST(split="train", download=True, root=str(folder))
    except RuntimeError as error:  # medmnist's own text hides the reason behind a page of advice
        raise RuntimeError(f"download failed: {error.__context__ or error}") from None
    return folder / FILE_NAME
