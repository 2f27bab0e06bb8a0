"""What a process computes with: the limits of its arithmetic, and the words that name it.

Which instructions oneDNN, ATen and MKL take depends on the CPU and on variables of the environment,
which they read at their first operation and never again. So trainings run in processes of their
own, limited before the first tensor.
"""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from breast_ultrasound.params import Arithmetic

Device = Literal["cpu", "cuda"]

# No more than AVX2, which Intel's CPUs have since 2013 and AMD's since 2015, and MKL's path that is
# the same on every maker's. DNNL_… is the old name of ONEDNN_….
PORTABLE = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
}
# Every variable that changes digits; those that PORTABLE does not set, it removes.
LIMITS = (
    *PORTABLE,
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "ONEDNN_CPU_ISA_HINTS",
    "DNNL_CPU_ISA_HINTS",
)
CUDA_LIMITS = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
INSTRUCTION_SETS = ("avx2", "avx512_f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")


def limits(arithmetic: Arithmetic) -> dict[str, str | None]:
    """Return what a process that computes with `arithmetic` has for each of LIMITS; None: unset."""
    given = dict(PORTABLE) if arithmetic == "portable" else dict(os.environ)
    return {name: given.get(name) for name in LIMITS}


def apply_limits(wanted: Mapping[str, str | None]) -> None:
    """Put limits into this process's environment, before its first tensor."""
    for name, value in wanted.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts


def describe(arithmetic: Arithmetic, device: Device) -> str:
    """Return what a limited process computes with, as far as results depend on it.

    It is part of every run's key; metrics and cards say it as `trained_on`.
    """
    if arithmetic == "portable":
        return f"portable: {platform.machine()}{_portable_level()}"
    if device == "cuda":
        import torch

        names = [torch.cuda.get_device_name(), *_set(CUDA_LIMITS)]
        return f"{arithmetic}: cuda {', '.join(names)}"
    maker, model = cpu_name()
    names = [platform.machine(), f"{maker} {model}", *_instruction_sets(), *_set(LIMITS)]
    return f"{arithmetic}: cpu {', '.join(names)}"


def limit_process(arithmetic: Arithmetic, device: Device) -> str:
    """Limit this process, which is to score images itself, and return what it computes with.

    Torch that has computed before keeps to what it had then: one line on stderr says so, and the
    description names it.
    """
    apply_limits(limits(arithmetic))
    words = describe(arithmetic, device)
    if arithmetic != "portable":
        return words
    import torch

    level = torch.backends.cpu.get_cpu_capability()
    if level in {"AVX2", "DEFAULT"} or platform.machine() not in {"x86_64", "AMD64"}:
        return words
    print(f"warning: this process has computed before and keeps {level}: scores may differ in "
          "their last digits; use a process of its own", file=sys.stderr)  # fmt: skip
    return f"{words}, {level} of an earlier computation"


def _portable_level() -> str:
    """Return the level that portable arithmetic gets on this CPU, in words."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return ", native"  # the limits are of x86-64
    import torch

    has = torch.cpu.get_capabilities()
    return " AVX2" if has.get("avx2") and has.get("fma3") else ", less than AVX2"


def _instruction_sets() -> list[str]:
    import torch

    has = torch.cpu.get_capabilities()
    return [name.upper() for name in INSTRUCTION_SETS if has.get(name)]


def _set(names: tuple[str, ...]) -> list[str]:
    return [f"{name}={os.environ[name]}" for name in names if name in os.environ]


def cpu_name() -> tuple[str, str]:
    """Return the maker and the model of the CPU, as it calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return platform.system(), platform.processor() or "unknown"
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    fields = {name.strip(): value.strip() for name, value in pairs}
    return fields.get("vendor_id", "unknown"), fields.get("model name", "unknown")
