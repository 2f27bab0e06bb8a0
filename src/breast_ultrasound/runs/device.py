"""The device to compute on, as options name it."""

import sys
from typing import Literal

from breast_ultrasound.files import InputError
from breast_ultrasound.model.arithmetic import Device, describe
from breast_ultrasound.params import Arithmetic

DeviceChoice = Literal["auto", "cpu", "cuda"]


def find_device(device: DeviceChoice, arithmetic: Arithmetic) -> Device:
    """Return the device to compute on; `auto` is said in a line.

    Args:
        device: `auto` takes a CUDA GPU where there is one, but not for portable arithmetic.

    Raises:
        InputError: `cuda` was asked for and there is none, or with portable arithmetic.
    """
    if device == "cpu":
        return "cpu"
    if arithmetic == "portable":
        if device == "cuda":
            raise InputError(
                "--device cuda: expected training.arithmetic fp32 or bf16, got portable, which is "
                "of CPUs; change it in params.yaml, or use --device cpu"
            )
        print("device: cpu, by training.arithmetic: portable", file=sys.stderr)
        return "cpu"
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise InputError("--device cuda: expected a CUDA GPU, found none; use --device cpu")
    found: Device = "cuda" if has_gpu else "cpu"
    if device == "auto":
        print(f"device: {describe(arithmetic, found)}", file=sys.stderr)
    return found
