"""The device that a run will use: its type, for forecasts, and whether it is there. Only that loads PyTorch."""

from __future__ import annotations

from artbank.parameters.run_config import RunConfig
from artbank.runtime.gpus import guess_device_type

_ON_THIS_MACHINE = ("auto", "threads", "dask")  # runners


def device_kind(config: RunConfig) -> str | None:
    """Return the type of device that a run will use: cuda, mps or cpu; None if other machines choose it."""
    if config.device != "auto":
        return config.device.partition(":")[0]
    return guess_device_type() if config.runner in _ON_THIS_MACHINE else None


def check_device(config: RunConfig) -> None:
    """Check that this machine has the device of a run, if the run works here and names one.

    Raises:
        ConfigError: It has no such device.
    """
    if config.device in ("auto", "cpu") or config.runner not in _ON_THIS_MACHINE:
        return
    from artbank.diffusion.devices import pick_device

    pick_device(config.device)
