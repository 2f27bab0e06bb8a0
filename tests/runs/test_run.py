from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.model.training import Hardware, TrainingConfig
from breast_ultrasound.params import Section
from breast_ultrasound.runs import run as run_module
from breast_ultrasound.runs.run import TRAINING_CODE, Run, device_kind, digest_of, key_of
from tests.conftest import CPU
from tests.imports import all_imports
from tools.workspace import ROOT

PACKAGE = ROOT / "src" / "breast_ultrasound"
# Read settings and files; what they read is in the key or checked, and they compute no score.
NOT_DECISIVE = {"params.py", "files.py"}


def _run(config: TrainingConfig) -> Run:
    return Run(config, 0, np.arange(10), np.arange(10, 15))


def test_the_key_covers_exactly_the_code_that_trains() -> None:
    imported = all_imports(PACKAGE / "runs" / "run.py") | {PACKAGE / "runs" / "run.py"}
    names = {str(path.relative_to(PACKAGE)) for path in imported}
    assert names - NOT_DECISIVE == set(TRAINING_CODE)


@pytest.mark.filterwarnings("ignore:Pydantic serializer")
def test_the_key_changes_with_all_that_decides_a_result(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(config)
    key = key_of(run, "data", CPU)
    assert key == key_of(_run(config), "data", CPU)
    others = [
        *(replace(run, config=other) for other in _configs_with_one_leaf_changed(config)),
        replace(run, seed=1),
        replace(run, train=np.arange(9)),
        replace(run, score=np.arange(10, 14)),
        replace(run, keep_weights=True),
        replace(run, best_epoch=True),
        replace(run, initial_weights={"conv1.weight": np.zeros(1, dtype=np.float32)}),
    ]
    keys = [key_of(other, "data", CPU) for other in others]
    keys += [key_of(run, "other data", CPU), key_of(run, "data", Hardware("cpu", "bf16"))]
    for name, value in (
        ("code_digest", lambda: "other"),
        ("versions", dict),
        ("device_kind", lambda _: "other"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(run_module, name, value)
            keys.append(key_of(run, "data", CPU))
    assert len({key, *keys}) == len(keys) + 1


def _configs_with_one_leaf_changed(config: TrainingConfig) -> Iterator[TrainingConfig]:
    """Yield configurations that no reader of values needs to understand: any other leaf will do."""
    for name, value in config:
        if isinstance(value, Section):
            for leaf in type(value).model_fields:
                yield config.model_copy(update={name: value.model_copy(update={leaf: "other"})})
        else:
            yield config.model_copy(update={name: "other"})


def test_the_device_says_what_convolutions_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    kinds = set()
    for limit in (None, "AVX2"):
        if limit:
            monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        for amx in (False, True):
            monkeypatch.setattr("torch.cpu.get_capabilities", lambda has=amx: {"amx_bf16": has})
            kinds.add(device_kind(CPU))
    assert len(kinds) == 4


def test_the_digest_sees_name_type_shape_and_value() -> None:
    arrays = [
        {"a": np.arange(6)},
        {"b": np.arange(6)},
        {"a": np.arange(6, dtype=np.int32)},
        {"a": np.arange(6).reshape(2, 3)},
        {"a": np.arange(1, 7)},
        {},
    ]
    assert len({digest_of(a) for a in arrays}) == len(arrays)
    assert digest_of({"a": np.arange(6)[::2]}) == digest_of({"a": np.array([0, 2, 4])})


def test_the_code_digest_is_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for content in ("x = 1\n", "x = 2\n"):
        for name in TRAINING_CODE:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("")
        (tmp_path / "model" / "losses.py").write_text(content)
        monkeypatch.setattr(run_module, "__file__", str(tmp_path / "runs" / "run.py"))
        digests.add(run_module.code_digest.__wrapped__())
    assert len(digests) == 2
