"""Detect whether PyTorch would use a GPU of this machine, without loading PyTorch, which takes seconds."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DRIVER = "libnvidia-ml.so.1"
_ROCM = Path("/dev/kfd")


def guess_device_type() -> str:
    """Return the type of device that `auto` chooses: cuda, mps or cpu.

    The driver is asked for its GPUs. It does not know whether PyTorch can use them, so this is for forecasts only; a
    run asks PyTorch.
    """
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else "cpu"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1") or _is_built_for_cpu():
        return "cpu"
    return "cuda" if _ROCM.exists() or count_nvidia_gpus() else "cpu"


def count_nvidia_gpus() -> int:
    """Return the number of GPUs that NVIDIA's driver has; 0 without a driver."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return 0
    count = ctypes.c_uint()
    if driver.nvmlInit_v2() != 0:
        return 0
    try:
        return count.value if driver.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0 else 0
    finally:
        driver.nvmlShutdown()


def _is_built_for_cpu() -> bool:
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
