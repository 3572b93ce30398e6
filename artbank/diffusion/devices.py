"""Where the networks run, and in what precision."""

from __future__ import annotations

import torch

from artbank.config import RunConfig
from artbank.errors import ConfigError


def pick_device(device: str = "auto") -> torch.device:
    """Return the device asked for; `auto` takes the first of CUDA, MPS and CPU that is there.

    Raises:
        ConfigError: The device asked for is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    place = torch.device(device)
    there = {"cpu": 1, "mps": int(torch.backends.mps.is_available()), "cuda": torch.cuda.device_count()}
    if (place.index or 0) >= there[place.type]:
        raise ConfigError(f"device {device} was asked for, but there is none such here; pass device=auto or cpu")
    return place


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the precision asked for; `auto` is bfloat16 on CUDA and float32 elsewhere."""
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return getattr(torch, dtype)


def device_kind(config: RunConfig) -> str | None:
    """Return the kind of device that a run will work on: cuda, mps or cpu; None where other machines choose."""
    if config.device != "auto":
        return config.device.partition(":")[0]
    is_here = config.runner in ("auto", "threads", "dask")
    return pick_device().type if is_here else None
