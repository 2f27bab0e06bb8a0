import json
from pathlib import Path

import numpy as np
import pytest

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
    with pytest.raises(InputError, match="expected a number 'lr', got 'fast'"):
        read_number(path, "lr")
    path.write_text(text)
    with pytest.raises(InputError, match="expected"):
        read_json(path)
