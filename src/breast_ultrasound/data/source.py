"""Finding the official file: the search path first, then the network. The MD5 decides."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from breast_ultrasound.files import InputError, atomic, expand

FILE_NAME = "breastmnist.npz"


def official_md5() -> str:
    """Return the MD5 of the official 28×28 file, as medmnist states it."""
    from medmnist import INFO

    return str(INFO["breastmnist"]["MD5"])


def fetch_official(search_path: Sequence[str], target: Path) -> Path:
    """Put the official file at `target`, from the first place that has it whole.

    Args:
        search_path: folders, `~` allowed, tried in order before the network.
        target: where the file goes; it appears complete and verified, or not at all.

    Returns:
        The file it was copied from, or `target` when it came from the network.

    Raises:
        InputError: no place had the file with the right MD5; the message lists each and why.
    """
    expected = official_md5()
    tried: list[str] = []
    with tempfile.TemporaryDirectory() as downloads:
        folders = [expand(folder) for folder in search_path]
        for candidate in [*(folder / FILE_NAME for folder in folders), None]:
            try:
                path = candidate or _download(Path(downloads))
                content = _verified(path, expected)
            except (OSError, RuntimeError) as error:
                tried.append(f"{candidate or 'the network'}: {' '.join(str(error).split())}")
                continue
            with atomic(target) as temporary:
                temporary.write_bytes(content)
            return candidate or target
    raise InputError(
        f"{FILE_NAME} (MD5 {expected}) was not found. Tried " + "; ".join(tried) + ". "
        "Download it from https://zenodo.org/records/10519652 into one of these folders, "
        "or add your folder to data.search_path in params.yaml"
    )


def _verified(path: Path, expected_md5: str) -> bytes:
    """Return the file's bytes when their MD5 is right; raise OSError when not."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OSError((error.strerror or str(error)).lower()) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected_md5:
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
