"""The type of device that a run will use, for its forecast; loads no PyTorch."""

from __future__ import annotations

from artbank.run_config import RunConfig
from artbank.runtime.gpus import guess_device_type


def device_kind(config: RunConfig) -> str | None:
    """Return the type of device that a run will use: cuda, mps or cpu; None if other machines choose it."""
    if config.device != "auto":
        return config.device.partition(":")[0]
    runs_here = config.runner in ("auto", "threads", "dask")
    return guess_device_type() if runs_here else None
