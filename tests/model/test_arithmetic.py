import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from breast_ultrasound.model import arithmetic as module
from breast_ultrasound.model.arithmetic import (
    CUDA_LIMITS,
    LIMITS,
    PORTABLE,
    apply_limits,
    cpu_name,
    describe,
    limit_process,
    limits,
)

NATIVE = {"avx2": True, "fma3": True, "avx512_f": True, "amx_bf16": True}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without limits, on a CPU of many instruction sets."""
    for name in (*LIMITS, *CUDA_LIMITS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: NATIVE)
    return monkeypatch


@contextmanager
def _kept_environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_portable_limits_are_the_same_whatever_is_set(bare: pytest.MonkeyPatch) -> None:
    plain = limits("portable")
    assert plain.keys() == set(LIMITS)
    for name in LIMITS:
        bare.setenv(name, "other")
    assert limits("portable") == plain
    with _kept_environment():
        apply_limits(plain)
        assert {name: os.environ[name] for name in LIMITS if name in os.environ} == PORTABLE


@pytest.mark.parametrize("arithmetic", ["fp32", "bf16"])
def test_other_arithmetic_keeps_what_the_user_has_set(
    bare: pytest.MonkeyPatch, arithmetic: Literal["fp32", "bf16"]
) -> None:
    assert limits(arithmetic) == dict.fromkeys(LIMITS)
    bare.setenv("ATEN_CPU_CAPABILITY", "default")
    with _kept_environment():
        apply_limits(limits("portable"))
        apply_limits({**dict.fromkeys(LIMITS), "ATEN_CPU_CAPABILITY": "default"})
        set_now = {name: os.environ[name] for name in LIMITS if name in os.environ}
        assert set_now == {"ATEN_CPU_CAPABILITY": "default"}
        assert limits(arithmetic)["ATEN_CPU_CAPABILITY"] == "default"


def test_portable_names_neither_maker_nor_model_nor_limits(bare: pytest.MonkeyPatch) -> None:
    assert describe("portable", "cpu") == "portable: x86_64 AVX2"
    bare.setattr(module, "cpu_name", lambda: ("AuthenticAMD", "AMD EPYC 9999"))
    bare.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, "fma3": True})
    for name in LIMITS:
        bare.setenv(name, "other")
    assert describe("portable", "cpu") == "portable: x86_64 AVX2"
    # An older CPU, or another kind, has digits of its own.
    bare.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    assert describe("portable", "cpu") == "portable: x86_64, less than AVX2"
    bare.setattr("platform.machine", lambda: "arm64")
    assert describe("portable", "cpu") == "portable: arm64, native"


def test_other_arithmetic_names_all_that_digits_depend_on(bare: pytest.MonkeyPatch) -> None:
    seen = {describe("fp32", "cpu"), describe("bf16", "cpu")}
    for name in LIMITS:
        with bare.context() as patch:
            patch.setenv(name, "other")
            seen.add(describe("fp32", "cpu"))
    for capability in ("avx512_f", "amx_bf16"):
        with bare.context() as patch:
            less = {**NATIVE, capability: False}
            patch.setattr("torch.cpu.get_capabilities", lambda has=less: has)
            seen.add(describe("fp32", "cpu"))
    for name in (("GenuineIntel", "a"), ("GenuineIntel", "b"), ("AuthenticAMD", "a")):
        with bare.context() as patch:
            patch.setattr(module, "cpu_name", lambda stated=name: stated)
            seen.add(describe("fp32", "cpu"))
    assert len(seen) == 2 + len(LIMITS) + 2 + 3


def test_a_gpu_is_named_with_what_rounds_on_it(bare: pytest.MonkeyPatch) -> None:
    bare.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H100")
    assert describe("bf16", "cuda") == "bf16: cuda NVIDIA H100"
    bare.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # of CPUs
    assert describe("fp32", "cuda") == "fp32: cuda NVIDIA H100"
    bare.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert describe("fp32", "cuda") == "fp32: cuda NVIDIA H100, NVIDIA_TF32_OVERRIDE=0"


def test_a_process_that_has_computed_before_is_told(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with _kept_environment():
        for level, late in (("AVX2", False), ("DEFAULT", False), ("AVX512", True)):
            bare.setattr("torch.backends.cpu.get_cpu_capability", lambda stated=level: stated)
            words, warning = limit_process("portable", "cpu"), capsys.readouterr().err
            assert words.startswith("portable: x86_64 AVX2")
            assert (f"{level} of an earlier computation" in words) == late
            assert warning.count("\n") == late
            assert {name: os.environ[name] for name in PORTABLE} == PORTABLE
        assert limit_process("fp32", "cpu") == describe("fp32", "cpu")
        assert not capsys.readouterr().err


def test_the_cpu_has_a_name() -> None:
    assert all(cpu_name())
