"""The device that a run asks for, and the precision that it gets by itself."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from artbank.diffusion.device_kind import check_device
from artbank.diffusion.devices import pick_dtype
from artbank.errors import ConfigError
from artbank.parameters.run_config import RunConfig

CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(("has_bfloat16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_card_without_bfloat16_in_hardware_computes_in_float16(
    has_bfloat16: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_supported(including_emulation: bool = True) -> bool:
        return including_emulation or has_bfloat16

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    assert pick_dtype("auto", CUDA) == expected
    assert pick_dtype("float32", CUDA) == torch.float32


def test_other_devices_compute_in_float32() -> None:
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32


@pytest.mark.parametrize("runner", ["auto", "threads", "dask"])
def test_a_run_that_works_on_this_machine_needs_its_device_here(runner: str) -> None:
    check_device(RunConfig(device="cpu", runner=runner))
    check_device(RunConfig(device="auto", runner=runner))
    with pytest.raises(ConfigError, match="device cuda:4096 is not available on this machine"):
        check_device(RunConfig(device="cuda:4096", runner=runner))


def test_the_devices_of_other_machines_are_not_checked_here() -> None:
    check_device(RunConfig(device="cuda:4096", runner="tcp://host:8786"))
