import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from breast_ultrasound.cli.app import app
from breast_ultrasound.files import InputError
from breast_ultrasound.runs import cache as cache_module
from breast_ultrasound.runs.cache import LEFTOVER_AGE, RunCache, find_cache
from breast_ultrasound.runs.run import RunResult

RESULT = RunResult(np.ones(3, dtype=np.float32), np.zeros(2), np.zeros(0))
KEYS = [f"{i}" * 64 for i in range(4)]


@pytest.fixture
def cache(tmp_path: Path) -> RunCache:
    filled = RunCache(tmp_path / "runs")
    for key in KEYS:
        filled.save(key, RESULT)
    return filled


def test_a_relative_folder_is_of_the_project_that_dvc_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every experiment in a temporary copy would train anew."""
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    assert find_cache(Path("../cache")).folder == tmp_path / "cache" / "runs"
    assert find_cache(Path("cache")).folder == tmp_path / "copy" / "cache" / "runs"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "a" / "project"))
    assert find_cache(Path("../cache")).folder == tmp_path / "a" / "cache" / "runs"
    assert find_cache(tmp_path / "cache").folder == tmp_path / "cache" / "runs"


def test_without_a_home_the_cache_is_asked_for_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BREAST_ULTRASOUND_CACHE", raising=False)
    for name in ("pathlib.Path.expanduser", "platformdirs.user_cache_path"):
        with monkeypatch.context() as patch:
            patch.delenv("HOME", raising=False)
            patch.delenv("XDG_CACHE_HOME", raising=False)
            patch.setattr(name, unknown)
            result = CliRunner().invoke(app, ["cache"])
        assert result.exit_code == 2
        assert result.stderr.startswith("error: the user's cache folder: there is no home")
        assert result.stderr.count("\n") == 1


def test_nothing_of_today_is_pruned(cache: RunCache) -> None:
    assert [entry.usable for entry in cache.entries()] == [True] * len(KEYS)
    assert cache.prune() == []
    assert all(cache.load(key) is not None for key in KEYS)


def test_other_code_and_damage_are_pruned(cache: RunCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.path_of(KEYS[0]).write_bytes(b"half")
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "current_origin", lambda: "other")
        cache.save(KEYS[1], RESULT)
    without = cache.path_of(KEYS[2])  # as earlier versions wrote it
    save_file(load_file(without), without, {"key": KEYS[2]})
    assert {entry.path for entry in cache.prune()} == {cache.path_of(key) for key in KEYS[:3]}
    assert cache.load(KEYS[3]) is not None


def test_what_cannot_be_read_is_left_and_named(cache: RunCache) -> None:
    """A full table of open files, or a network folder that is away, says nothing of the content."""
    place = cache.path_of("ff" + KEYS[0][2:])
    place.mkdir(parents=True)  # the one thing that root cannot read as a file
    with pytest.raises(InputError, match=r"cannot be read .*--cache"):
        cache.load(place.stem)
    assert place.exists()


def test_what_a_killed_writer_left_is_pruned_when_it_is_old(cache: RunCache) -> None:
    old, new = (cache.folder / "ab" / f".{name}.1.safetensors" for name in ("old", "new"))
    old.parent.mkdir()
    for path in (old, new):
        path.write_bytes(b"half")
    past = time.time() - LEFTOVER_AGE - 1
    os.utime(old, (past, past))
    assert [entry.path for entry in cache.prune()] == [old]
    assert new.exists()


def test_a_swapped_file_is_not_believed(
    cache: RunCache, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.path_of(KEYS[0]).replace(cache.path_of(KEYS[1]))
    assert cache.load(KEYS[1]) is None
    assert "damaged" in capsys.readouterr().err
    assert not cache.path_of(KEYS[1]).exists()


@given(
    flips=st.lists(st.integers(0, 10_000), min_size=1, max_size=3, unique=True),
    length=st.none() | st.integers(0, 500),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_is_noticed_or_harmless(
    tmp_path: Path, flips: list[int], length: int | None
) -> None:
    cache = RunCache(tmp_path / "damaged")
    cache.save(KEYS[0], RESULT)
    path = cache.path_of(KEYS[0])
    content = bytearray(path.read_bytes())
    for flip in flips:
        content[flip // 8 % len(content)] ^= 1 << flip % 8
    path.write_bytes(content[:length])
    list(cache.entries())
    found = cache.load(KEYS[0])
    if found is None:
        assert not path.exists()
    else:  # in the words about where it came from, say
        for name in ("logits", "train_loss", "val_auc"):
            assert np.array_equal(getattr(found, name), getattr(RESULT, name))
        assert not found.weights


def test_the_commands_count(cache: RunCache) -> None:
    cache.path_of(KEYS[0]).write_bytes(b"half")
    command = ["cache", "--cache", str(cache.folder.parent)]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0
    assert f"{cache.folder}: 4 trainings, 0.0 MB" in shown.stdout
    assert "of other code or package versions, or damaged: 1 trainings" in shown.stdout
    assert "removed 1 trainings" in CliRunner().invoke(app, [*command, "prune"]).stdout
    assert "removed 0 trainings" in CliRunner().invoke(app, [*command, "prune"]).stdout
