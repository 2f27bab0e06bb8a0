import errno
import hashlib
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from breast_ultrasound.files import (
    InputError,
    atomic,
    read_arrays,
    read_json,
    read_number,
    rounded,
    write_arrays,
    write_csv,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError, match="halfway"):
        _fail_halfway(path)
    assert read_json(path) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_masks_packed_as_tightly_as_a_bomb_are_read(tmp_path: Path) -> None:
    masks = np.zeros((1200, 256, 256), dtype=np.uint8)
    masks[:, 50:80, 90:130] = 255
    np.savez_compressed(tmp_path / "a.npz", masks=masks)
    assert masks.nbytes > 200 * (tmp_path / "a.npz").stat().st_size
    assert np.array_equal(read_arrays(tmp_path / "a.npz", ["masks"])["masks"], masks)


def test_a_device_or_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="got a device or pipe"):
        write_json(tmp_path / "pipe", {})
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "output").symlink_to("/proc/self/fd/1")  # as /dev/stdout, a file perhaps
    with pytest.raises(InputError, match="got a device or pipe"):
        write_json(tmp_path / "output", {})
    assert (tmp_path / "output").is_symlink()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"x": np.arange(3)})
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_arrays(path, {"x": np.arange(4)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_writers_with_the_same_process_number_are_not_in_each_others_way(tmp_path: Path) -> None:
    """As those of two containers that share a folder."""
    path = tmp_path / "a.txt"
    with atomic(path) as one, atomic(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def _fail_halfway(path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("halfway")


def test_equal_arrays_give_equal_bytes(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = {"x": rng.normal(size=(5, 3)), "y": rng.integers(0, 9, 7)}
    for name in ("a.npz", "b.npz"):
        write_arrays(tmp_path / name, arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = read_arrays(tmp_path / "a.npz", ["x", "y"])
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)


def test_the_bytes_of_an_npz_are_of_no_python_and_no_system(tmp_path: Path) -> None:
    """Python 3.11.2 and 3.11.7 write other headers for the same arrays; this file is of neither."""
    write_arrays(tmp_path / "a.npz", {"x": np.arange(5, dtype=np.uint8)})
    digest = hashlib.sha256((tmp_path / "a.npz").read_bytes()).hexdigest()
    assert digest == "0b556c23fdb2911f323dae2ff51d8f942b495b3c5f4924dc26c24e975a1ad2ba"
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        (member,) = archive.infolist()
    assert (member.create_system, member.create_version, member.extract_version) == (3, 20, 20)
    assert member.compress_type == zipfile.ZIP_STORED
    assert member.date_time == (1980, 1, 1, 0, 0, 0)


IN_ONE_FOLDER = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


SHAPES = numpy_strategies.array_shapes(min_dims=0, min_side=0)


@given(array=numpy_strategies.arrays(numpy_strategies.scalar_dtypes(), SHAPES))
@IN_ONE_FOLDER
def test_any_plain_array_comes_back(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"x": array})
    back = read_arrays(path, ["x"])["x"]
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    with np.load(path) as arrays:
        assert arrays["x"].tobytes() == array.tobytes()


@given(content=st.binary(max_size=200))
@IN_ONE_FOLDER
def test_any_bytes_are_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_arrays(path, ["x"])
    with pytest.raises(InputError):
        read_number(path, "lr")


@given(flips=st.lists(st.integers(0, 8 * 1500), min_size=1, max_size=4, unique=True))
@settings(IN_ONE_FOLDER, max_examples=300)
def test_flipped_bits_in_an_npz_change_no_array(tmp_path: Path, flips: list[int]) -> None:
    path, array = tmp_path / "a.npz", np.arange(100)
    write_arrays(path, {"x": array})
    content = bytearray(path.read_bytes())
    for flip in flips:
        content[flip // 8 % len(content)] ^= 1 << flip % 8
    path.write_bytes(content)
    try:
        assert np.array_equal(read_arrays(path, ["x"])["x"], array)
    except InputError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    "header", ["(", "{[]: 1}", "{'descr': (), 'fortran_order': 0, 'shape': ()}"]
)
def test_a_header_that_is_no_python_is_refused_in_a_line(tmp_path: Path, header: str) -> None:
    length = (len(header) + 1).to_bytes(2, "little")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + length + header.encode() + b"\n")
    with pytest.raises(InputError, match="expected an npz file of plain arrays"):
        read_arrays(tmp_path / "a.npz", ["x"])


def test_floats_are_written_with_six_digits(tmp_path: Path) -> None:
    assert rounded({"a": [1 / 3, 2, "x", None, True]}) == {"a": [0.333333, 2, "x", None, True]}
    write_csv(tmp_path / "a.csv", ["n", "x"], [[1, 1 / 3]])
    assert (tmp_path / "a.csv").read_text() == "n,x\n1,0.333333\n"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})


def _damage(path: Path, how: str) -> None:
    match how:
        case "truncated":
            write_arrays(path, {"x": np.arange(1000)})
            path.write_bytes(path.read_bytes()[:-300])
        case "flipped":
            write_arrays(path, {"x": np.random.default_rng(0).random(1000)})
            content = bytearray(path.read_bytes())
            content[2000] ^= 255
            path.write_bytes(content)
        case "pickled":
            np.savez(path, x=np.array([{"a": 1}], dtype=object))
        case "text":
            path.write_text("hello")
        case "empty":
            path.write_bytes(b"")
        case "lone array":
            with path.open("wb") as file:
                np.save(file, np.arange(3))
        case "another name":
            write_arrays(path, {"y": np.arange(3)})
        case "folder":
            path.mkdir()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("missing", "no such file"),
        ("truncated", "expected an npz file"),
        ("flipped", "expected an npz file"),
        ("pickled", "pickled objects are refused"),
        ("text", "expected an npz file"),
        ("empty", "expected an npz file"),
        ("lone array", "expected an npz file"),
        ("another name", "expected an array 'x', got y"),
        ("folder", "got a folder"),
    ],
)
def test_a_wrong_npz_is_named(tmp_path: Path, how: str, expected: str) -> None:
    path = tmp_path / "a.npz"
    _damage(path, how)
    with pytest.raises(InputError, match=expected) as error:
        read_arrays(path, ["x"])
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", json.dumps("x")])
def test_a_wrong_json_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(InputError, match="no such file"):
        read_json(path)
    path.write_text('{"lr": "fast"}')
    with pytest.raises(InputError, match="expected a number 'lr' over 0, got 'fast'"):
        read_number(path, "lr")
    path.write_text(text)
    with pytest.raises(InputError, match="expected"):
        read_json(path)
