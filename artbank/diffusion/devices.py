"""Choose the device and the precision of the networks."""

from __future__ import annotations

import torch

from artbank.errors import ConfigError


def pick_device(device: str = "auto") -> torch.device:
    """Return the device with a name; `auto` is the first available one of CUDA, MPS and CPU.

    Raises:
        ConfigError: This machine has no such device.
    """
    if device == "auto":
        return torch.device(_best_device_type())
    found = torch.device(device)
    counts = {"cpu": 1, "mps": int(torch.backends.mps.is_available()), "cuda": torch.cuda.device_count()}
    if (found.index or 0) >= counts[found.type]:
        raise ConfigError(f"device {device} is not available on this machine; pass device=auto or cpu")
    return found


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the precision with a name; `auto` is bfloat16 on CUDA and float32 elsewhere."""
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return getattr(torch, dtype)


def _best_device_type() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
