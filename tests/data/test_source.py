import hashlib
from pathlib import Path

import numpy as np
import pytest
from medmnist import INFO

from breast_ultrasound.data import source
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.source import (
    OFFICIAL_MD5,
    fetch,
    fetch_also_train,
    fetch_official,
    file_name,
    read_source,
)
from breast_ultrasound.files import InputError
from breast_ultrasound.params import ColumnParams, Params
from tests.hospitals import write_busbra
from tools.workspace import REAL

CONTENT = b"as if it were the official file"
FILE_NAME = "breastmnist.npz"


@pytest.fixture
def md5(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(INFO["breastmnist"], "MD5", digest)
    monkeypatch.setitem(source.OFFICIAL_MD5, 28, digest)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", refuse)


def _place(folder: Path, content: bytes) -> str:
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(content)
    return str(folder)


def test_the_md5s_are_medmnists() -> None:
    names = {28: "MD5", 64: "MD5_64", 128: "MD5_128", 224: "MD5_224"}
    assert {side: INFO["breastmnist"][name] for side, name in names.items()} == OFFICIAL_MD5


@pytest.mark.usefixtures("md5", "offline")
def test_the_first_whole_file_on_the_path_is_taken(tmp_path: Path) -> None:
    wrong, right = _place(tmp_path / "wrong", b"?"), _place(tmp_path / "right", CONTENT)
    target = tmp_path / "data" / "raw" / FILE_NAME
    origin = fetch_official(
        28, [str(tmp_path / "missing"), wrong, right], target, tmp_path / "cache"
    )
    assert origin == Path(right) / FILE_NAME
    assert target.read_bytes() == CONTENT


@pytest.mark.usefixtures("md5", "offline")
def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _place(tmp_path / "mine", CONTENT)
    found = fetch_official(28, ["~/mine"], tmp_path / "out.npz", tmp_path / "cache")
    assert found == tmp_path / "mine" / FILE_NAME


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container runs under a number that no user has."""
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("md5", "offline", "homeless")
def test_homes_that_are_not_there_are_skipped_and_listed(tmp_path: Path) -> None:
    homes = ["~/.medmnist", "~nobody-at-all/x"]
    right, target = _place(tmp_path / "right", CONTENT), tmp_path / FILE_NAME
    assert fetch_official(28, [*homes, right], target, None) == Path(right) / FILE_NAME
    with pytest.raises(InputError) as error:
        fetch_official(28, homes, target, tmp_path / "cache")
    for home in homes:
        assert f"{home}: no such home folder" in str(error.value)
    with pytest.raises(InputError, match="~nobody-at-all/c: no such home folder"):
        fetch_official(28, [right], target, Path("~nobody-at-all/c"))


@pytest.mark.usefixtures("md5", "offline")
def test_what_was_verified_comes_back_from_the_cache(tmp_path: Path) -> None:
    right, target, cache = _place(tmp_path / "right", CONTENT), tmp_path / FILE_NAME, tmp_path / "c"
    fetch_official(28, [right], target, cache)
    (Path(right) / FILE_NAME).unlink()
    target.unlink()
    kept = fetch_official(28, [], target, cache)
    assert kept.is_relative_to(cache)
    assert target.read_bytes() == CONTENT
    kept.write_bytes(b"damaged")
    with pytest.raises(InputError, match="was not found"):
        fetch_official(28, [], target, cache)
    fetch_official(28, [_place(tmp_path / "again", CONTENT)], target, cache)
    assert kept.read_bytes() == CONTENT


@pytest.mark.usefixtures("md5", "offline")
def test_what_dvc_has_kept_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC removes the stage's output before it runs the stage again, and keeps it in its cache."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    digest = source.OFFICIAL_MD5[28]
    kept = tmp_path / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT)
    assert fetch_official(28, [], tmp_path / FILE_NAME, tmp_path / "cache") == kept


@pytest.mark.usefixtures("md5", "offline")
def test_a_cache_that_cannot_be_written_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    target = tmp_path / FILE_NAME
    fetch_official(28, [_place(tmp_path / "right", CONTENT)], target, tmp_path / "cache")
    assert target.read_bytes() == CONTENT
    assert "the file is not kept there" in capsys.readouterr().err


@pytest.mark.usefixtures("md5", "offline")
def test_relative_folders_are_of_the_project_that_dvc_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copy").mkdir()
    _place(tmp_path / "data", CONTENT)
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    found = fetch_official(28, ["../data"], Path("a.npz"), Path("../cache"))
    assert found == tmp_path / "data" / FILE_NAME
    assert (tmp_path / "copy" / "a.npz").read_bytes() == CONTENT
    assert list((tmp_path / "cache").rglob("*.npz"))


@pytest.mark.usefixtures("md5", "offline")
def test_every_place_tried_is_listed_with_the_reason(tmp_path: Path) -> None:
    wrong = _place(tmp_path / "wrong", b"?")
    (tmp_path / "odd" / FILE_NAME).mkdir(parents=True)
    target = tmp_path / "raw" / FILE_NAME
    with pytest.raises(InputError) as error:
        fetch_official(
            28, [str(tmp_path / "gone"), wrong, str(tmp_path / "odd")], target, tmp_path / "cache"
        )
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
        assert source.fetch_official(28, [], target, tmp_path / "cache") == target
        assert target.read_bytes() == CONTENT
    else:
        with pytest.raises(InputError, match="wrong MD5"):
            source.fetch_official(28, [], target, tmp_path / "cache")
        assert not target.exists()


@pytest.mark.parametrize("side", [64, 128, 224])
def test_the_other_sizes_are_found_under_their_own_names(side: int, tmp_path: Path) -> None:
    if not (REAL.parent / file_name(side)).exists():
        pytest.skip("the official file is not there")
    target = tmp_path / "a.npz"
    origin = fetch_official(side, [str(REAL.parent)], target, tmp_path / "cache")
    assert origin == (REAL.parent / f"breastmnist_{side}.npz").resolve()
    images = read_source(target)
    assert (len(images), images.side) == (780, side)
    assert np.abs(images.thumbnails - images.images.mean(axis=(1, 2))[:, None, None]).max() > 50


def test_own_images_and_phantoms_are_read_back_alike(tmp_path: Path, tiny_params: Params) -> None:
    columns = ColumnParams(
        image="Images/{ID}.png", label="Pathology", patient="Case", split=None, subgroups=[]
    )
    own = {"images": str(write_busbra(tmp_path / "busbra")), "table": "bus_data.csv"}
    data = tiny_params.data.model_copy(
        update={"name": "images", "size": 32, "columns": columns, **own}
    )
    (line,) = fetch(data, tmp_path / "a.npz", None)
    assert "32 images" in line
    images = read_source(tmp_path / "a.npz")
    assert (len(images), images.side) == (32, 32)
    phantoms = data.model_copy(update={"name": "phantom"})
    fetch(phantoms, tmp_path / "b.npz", None)
    assert read_source(tmp_path / "b.npz").side == 32


def test_what_more_there_is_to_learn_from(tmp_path: Path, tiny_params: Params) -> None:
    """An empty folder, but for a README, is none; a folder of something else is an error."""
    folder, target = tmp_path / "more", tmp_path / "more.npz"
    folder.mkdir()
    (folder / "README.md").write_text("?")
    (folder / ".gitignore").write_text("?")
    own = tiny_params.data.also_train.model_copy(update={"images": str(folder)})
    assert fetch_also_train(own, 28, target) == []
    assert len(ImageSet.load(target, may_be_empty=True)) == 0
    (folder / "notes.txt").write_text("?")
    with pytest.raises(InputError, match="expected a folder of pictures per class, got 1 files"):
        fetch_also_train(own, 28, target)
    table = own.model_copy(
        update={
            "images": str(write_busbra(tmp_path / "busbra")),
            "table": "bus_data.csv",
            "columns": ColumnParams(
                image="Images/{ID}.png", label="Pathology", patient=None, split=None, subgroups=[]
            ),
        }
    )
    (line,) = fetch_also_train(table, 28, target)
    assert "32 images" in line
    assert len(ImageSet.load(target)) == 32


class _Anything:
    """What medmnist reads after its download; only the file it leaves behind matters here."""

    def __getitem__(self, name: str) -> None:
        return None
