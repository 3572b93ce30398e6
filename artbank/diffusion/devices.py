"""Choose the device and the precision of the networks."""

from __future__ import annotations

import torch

from artbank.errors import ConfigError


def pick_device(device: str) -> torch.device:
    """Return the device with a name; `auto` is the first available one of CUDA, MPS and CPU.

    Raises:
        ConfigError: This machine has no such device.
    """
    if device == "auto":
        return torch.device(_best_device_type())
    chosen = torch.device(device)
    counts = {"cpu": 1, "mps": int(torch.backends.mps.is_available()), "cuda": torch.cuda.device_count()}
    if (chosen.index or 0) >= counts[chosen.type]:
        raise ConfigError(f"device {device} is not available on this machine; pass device=auto or cpu")
    return chosen


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the precision with a name.

    `auto` is bfloat16 on a CUDA device that computes in it, float16 on an older one, and float32 elsewhere.
    """
    if dtype != "auto":
        return getattr(torch, dtype)
    if device.type != "cuda":
        return torch.float32
    with torch.cuda.device(device):
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _best_device_type() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
