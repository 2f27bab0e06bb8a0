import hashlib
from pathlib import Path

import pytest
from medmnist import INFO

from breast_ultrasound.data import source
from breast_ultrasound.data.source import FILE_NAME, fetch_official, official_md5
from breast_ultrasound.files import InputError

CONTENT = b"as if it were the official file"


@pytest.fixture
def md5(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(INFO["breastmnist"], "MD5", digest)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", refuse)


def _place(folder: Path, content: bytes) -> str:
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(content)
    return str(folder)


def test_the_md5_is_medmnists() -> None:
    assert official_md5() == "750601b1f35ba3300ea97c75c52ff8f6"


@pytest.mark.usefixtures("md5", "offline")
def test_the_first_whole_file_on_the_path_is_taken(tmp_path: Path) -> None:
    wrong, right = _place(tmp_path / "wrong", b"?"), _place(tmp_path / "right", CONTENT)
    target = tmp_path / "data" / "raw" / FILE_NAME
    origin = fetch_official([str(tmp_path / "missing"), wrong, right], target)
    assert origin == Path(right) / FILE_NAME
    assert target.read_bytes() == CONTENT


@pytest.mark.usefixtures("md5", "offline")
def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _place(tmp_path / "mine", CONTENT)
    assert fetch_official(["~/mine"], tmp_path / "out.npz") == tmp_path / "mine" / FILE_NAME


def test_a_home_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="~nobody-at-all/x: no such home folder"):
        fetch_official(["~nobody-at-all/x"], tmp_path / FILE_NAME)


@pytest.mark.usefixtures("md5", "offline")
def test_every_place_tried_is_listed_with_the_reason(tmp_path: Path) -> None:
    wrong = _place(tmp_path / "wrong", b"?")
    (tmp_path / "odd" / FILE_NAME).mkdir(parents=True)
    target = tmp_path / "raw" / FILE_NAME
    with pytest.raises(InputError) as error:
        fetch_official([str(tmp_path / "gone"), wrong, str(tmp_path / "odd")], target)
    message = str(error.value)
    for part in (
        f"{tmp_path / 'gone' / FILE_NAME}: no such file",
        f"{Path(wrong) / FILE_NAME}: wrong MD5",
        f"{tmp_path / 'odd' / FILE_NAME}: is a directory",
        "the network: download failed: no network",
        "data.search_path",
        "https://zenodo.org",
    ):
        assert part in message
    assert not target.parent.exists()


@pytest.mark.usefixtures("md5")
@pytest.mark.parametrize(("sent", "arrives"), [(CONTENT, True), (b"cut sho", False)])
def test_a_download_arrives_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes, arrives: bool
) -> None:
    def download(url: str, root: str, filename: str, md5: str) -> None:
        assert url == INFO["breastmnist"]["url"].replace("?download=1", "?download=1")
        (Path(root) / filename).write_bytes(sent)

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    monkeypatch.setattr("medmnist.dataset.np.load", lambda *_, **__: _Anything())
    target = tmp_path / FILE_NAME
    if arrives:
        assert source.fetch_official([], target) == target
        assert target.read_bytes() == CONTENT
    else:
        with pytest.raises(InputError, match="wrong MD5"):
            source.fetch_official([], target)
        assert not target.exists()


class _Anything:
    """What medmnist reads after its download; only the file it leaves behind matters here."""

    def __getitem__(self, name: str) -> None:
        return None
