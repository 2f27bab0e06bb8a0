from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breast_ultrasound.files import InputError
from breast_ultrasound.params import load_params
from tools.workspace import ROOT, write_params


def test_shipped_parameters_are_valid() -> None:
    assert load_params(ROOT / "params.yaml").data.name == "breastmnist"


def test_experiments_leave_the_comments(tmp_path: Path) -> None:
    """DVC writes the file anew for -S, and of the second time on loses what follows a list."""
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    n_comments = path.read_text().count("#")
    for lr in ("0.003", "0.002", "null"):
        apply_overrides(path, [f"lr={lr}"])
    assert path.read_text().count("#") == n_comments
    assert load_params(path) == load_params(ROOT / "params.yaml")


@pytest.mark.parametrize("written", ["1e-05", "'1e-5'", "0.00001", "1.0e-5"])
def test_a_number_counts_however_dvc_writes_it(tmp_path: Path, written: str) -> None:
    """`-S lr=1e-5` writes 1e-05, which YAML 1.1 calls a string."""
    text = (ROOT / "params.yaml").read_text().replace("lr: null", f"lr: {written}", 1)
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml").lr == 1e-5


BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"lr": -1}, ["lr", "greater than 0", "-1"]),
    ({"lr": 2}, ["lr", "less than or equal to 1", "2"]),
    ({"lr": float("nan")}, ["lr", "finite", "nan"]),
    ({"lr": float("inf")}, ["lr", "finite", "inf"]),
    ({"lr": True}, ["lr", "number", "True"]),
    ({"model": {"blocks": [True, 1, 1, 1]}}, ["model.blocks", "number", "True"]),
    ({"grid_search": {"dropout": [False]}}, ["grid_search.dropout", "number", "False"]),
    ({"grid_search": {"blocks": [[True, 1, 1, 1]]}}, ["grid_search.blocks", "number", "True"]),
    ({"grid_search": {"blocks": [[1, 1, 1]]}}, ["grid_search.blocks.0", "at least 4 items"]),
    ({"grid_search": {"reduction": 1}}, ["grid_search.reduction", "equal to 2", "1"]),
    ({"grid_search": {"max_settings": 0}}, ["grid_search.max_settings", "equal to 1", "0"]),
    ({"grid_search": {"first_epochs": 0}}, ["grid_search.first_epochs", "equal to 1", "0"]),
    ({"training": {"ema_decay": False}}, ["training.ema_decay", "number", "False"]),
    ({"training": {"batch_size": 2}}, ["training.batch_size", "greater than or equal to 3", "2"]),
    ({"lr": "none"}, ["lr", "valid number", "'none'"]),
    ({"lr": ""}, ["lr", "valid number", "''"]),
    ({"seed": -1}, ["seed", "greater than or equal to 0"]),
    ({"seed": 1.5}, ["seed", "integer", "1.5"]),
    ({"seed": None}, ["seed", "integer", "None"]),
    ({"data": {"name": "bus"}}, ["data.name", "'breastmnist', 'images' or 'phantom'", "'bus'"]),
    ({"data": {"search_path": "here"}}, ["data.search_path", "list", "'here'"]),
    ({"folds": {"n_splits": 1}}, ["folds.n_splits", "greater than or equal to 2", "1"]),
    ({"model": {"stem": "big"}}, ["model.stem", "'small_strided'", "'big'"]),
    ({"model": {"width": 4}}, ["model.width", "greater than or equal to 8", "4"]),
    ({"model": {"dropout": 1.0}}, ["model.dropout", "less than 1"]),
    ({"training": {"loss": "mse"}}, ["training.loss", "'focal'", "'mse'"]),
    ({"training": {"n_epochs": 0}}, ["training.n_epochs", "1", "0"]),
    ({"augment": {"flip": 1.5}}, ["augment.flip", "less than or equal to 1", "1.5"]),
    (
        {"preprocess": {"near_duplicate_correlation": 1.0}},
        ["preprocess.near_duplicate_correlation", "less than 1"],
    ),
    ({"tune_lr": {"low": 0.01, "high": 0.001}}, ["tune_lr", "low < high", "0.01", "0.001"]),
    ({"tune_lr": {"n_folds": 9}}, ["tune_lr.n_folds", "at most folds.n_splits = 5", "9"]),
    ({"grid_search": {"n_folds": 9}}, ["grid_search.n_folds", "at most folds.n_splits = 5", "9"]),
    ({"grid_search": {"width": []}}, ["grid_search.width", "at least 1 item"]),
    ({"grid_search": {"width": 16}}, ["grid_search.width", "list", "16"]),
    ({"grid_search": {"loss": ["bce", "mse"]}}, ["grid_search.loss.1", "'mse'"]),
    ({"baseline": {"weights": "vgg"}}, ["baseline.weights", "'imagenet'", "'vgg'"]),
    ({"evaluate": {"confidence": 95}}, ["evaluate.confidence", "less than 1", "95"]),
]


@pytest.mark.parametrize(("change", "expected"), BAD, ids=[str(change) for change, _ in BAD])
def test_a_wrong_value_is_named_with_what_is_allowed(
    tmp_path: Path, change: dict[str, Any], expected: list[str]
) -> None:
    path = write_params(tmp_path / "params.yaml", change)
    with pytest.raises(InputError) as error:
        load_params(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for part in expected:
        assert part in message


def _leaves(content: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    leaves = []
    for key, value in content.items():
        here = (*path, key)
        leaves += _leaves(value, here) if isinstance(value, dict) else [here]
    return leaves


def test_every_parameter_is_needed_and_no_other_is_taken(tmp_path: Path) -> None:
    shipped = (ROOT / "params.yaml").read_text()
    for leaf in _leaves(yaml.safe_load(shipped)):
        content = yaml.safe_load(shipped)
        section = content
        for key in leaf[:-1]:
            section = section[key]
        value = section.pop(leaf[-1])
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(InputError, match=rf"{'.'.join(leaf)}: expected a value, got none"):
            load_params(path)
        section[leaf[-1]] = value
        section["surprise"] = 1
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(InputError, match=r"surprise: unknown parameter"):
            load_params(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a mapping"),
        ("- 1", "expected a mapping"),
        ("seed: [", "expected YAML"),
        ("seed:\t1", "expected YAML"),
        ("seed: 1\nseed: 2\n", "each key once, got 'seed' twice"),
        ("a: {b: 1, b: 2}", "each key once, got 'b' twice"),
        ("seed: 2020-13-45", "expected plain values"),
        (f"seed: {'9' * 5000}", "expected plain values"),
        ("seed: !!python/object/apply:os.getcwd []", "expected YAML"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=expected) as error:
        load_params(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; run from the project's root"):
        load_params(tmp_path / "params.yaml")


def test_parameters_cannot_be_changed() -> None:
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text())


def _valid_or_one_line(path: Path) -> None:
    try:
        load_params(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
        assert len(str(error)) < 1000


@given(leaf=st.sampled_from(_leaves(SHIPPED)), value=VALUES)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_value_is_taken_or_refused(tmp_path: Path, leaf: tuple[str, ...], value: Any) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    section = content
    for key in leaf[:-1]:
        section = section[key]
    section[leaf[-1]] = value
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    _valid_or_one_line(tmp_path / "params.yaml")


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(InputError):
        load_params(tmp_path / "params.yaml")
