"""The digits of trainings under what users and clusters set: same key, same bytes."""

import json
import os
import sys
from typing import Any

import pytest

from breast_ultrasound.model.arithmetic import LIMITS
from tools.workspace import ROOT, run

SCRIPT = ROOT / "tests" / "runs" / "tiny_trainings.py"
LIMITING = {
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
}
OTHERS = {
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
Rows = list[dict[str, Any]]


def _train(arithmetics: list[str], **changes: str) -> Rows:
    """Train in a process of its own, with nothing set but `changes`."""
    env = {name: value for name, value in os.environ.items() if name not in (*LIMITS, *OTHERS)}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = run([sys.executable, str(SCRIPT), *arithmetics], ROOT, {**env, **changes})
    rows: Rows = json.loads(done.stdout)
    return rows


@pytest.fixture(scope="module")
def plain() -> Rows:
    return _train(["portable", "fp32", "portable"])


def test_portable_trainings_come_again_after_others_in_one_process(plain: Rows) -> None:
    """Each arithmetic has processes of its own: one that has computed keeps what it read."""
    first, native, again = plain
    assert first == again
    assert set(first["keys"]).isdisjoint(native["keys"])
    assert first["digests"][0] != first["digests"][1]
    assert first["trained_on"].startswith("portable: ")
    assert native["trained_on"].startswith("fp32: cpu ")


@pytest.mark.parametrize(
    "name", ["ATEN_CPU_CAPABILITY", pytest.param("ONEDNN_MAX_CPU_ISA", marks=pytest.mark.slow)]
)
def test_portable_trainings_are_the_same_whatever_is_set(plain: Rows, name: str) -> None:
    assert _train(["portable"], **{name: LIMITING[name]}) == plain[:1]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LIMITING, *OTHERS])
def test_other_digits_have_another_key(plain: Rows, name: str) -> None:
    portable, native = _train(["portable", "fp32"], **{name: (LIMITING | OTHERS)[name]})
    assert portable == plain[0]
    if native["digests"] != plain[1]["digests"]:
        assert set(native["keys"]).isdisjoint(plain[1]["keys"])
    if name in LIMITING:
        assert set(native["keys"]).isdisjoint(plain[1]["keys"])
        assert name in native["trained_on"]
