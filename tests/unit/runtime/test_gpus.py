"""The type of device is guessed without PyTorch, and as PyTorch says it where there is no GPU."""

from __future__ import annotations

import pytest
import torch

from artbank.runtime import gpus


@pytest.mark.parametrize(
    ("is_for_cpu", "visible", "count", "expected"),
    [
        (False, None, 2, "cuda"),
        (False, "0", 1, "cuda"),
        (False, None, 0, "cpu"),
        (False, "", 2, "cpu"),
        (False, "-1", 2, "cpu"),
        (True, None, 2, "cpu"),
    ],
)
def test_a_gpu_counts_if_it_is_visible_and_torch_is_built_for_it(
    monkeypatch: pytest.MonkeyPatch, is_for_cpu: bool, visible: str | None, count: int, expected: str
) -> None:
    monkeypatch.setattr(gpus.sys, "platform", "linux")
    monkeypatch.setattr(gpus, "_is_built_for_cpu", lambda: is_for_cpu)
    monkeypatch.setattr(gpus, "count_nvidia_gpus", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.guess_device_type() == expected


def test_this_machine_has_the_device_that_torch_says() -> None:
    assert (gpus.guess_device_type() == "cuda") == torch.cuda.is_available()
