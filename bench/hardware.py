"""The machine: its facts, its peaks, and the share of them that is used.

A multiplication with its addition counts as two FLOPs. The figures for Stable Diffusion 1.5 at 512 px are calculated
from the shapes of its operators; in every run on random weights torch counts those of the UNet's forward pass, too.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from bench.peers.kit import Parts

UNET, UNET_TO_PROMPT, ENCODE, DECODE, TEXT = 803e9, 1669e9, 1117e9, 2515e9, 13e9
"""FLOPs a sample of Stable Diffusion 1.5 at 512 px: the UNet forward, the UNet forward and backward to the prompt, the
VAE's encoder and decoder, the text encoder forward."""


@dataclass(frozen=True)
class Peaks:
    """Best measured rates: matrix products in FLOP/s, copies in bytes read and written per second."""

    matmul: float
    copy: float


def describe_machine(device: torch.device) -> dict[str, str]:
    """Return the facts about the machine that a reader of the figures needs."""
    facts = {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads",
        "torch": f"{torch.__version__}, diffusers {diffusers.__version__}, transformers {transformers.__version__}",
        "Python": platform.python_version(),
    }
    if device.type == "cuda":
        facts["GPU"] = torch.cuda.get_device_name(device)
    return facts


def measure_peaks(device: torch.device) -> Peaks:
    """Measure matrix products (bfloat16 of side 8192 on CUDA, float32 of 1024 on CPU) and copies, best of several."""
    is_cuda = device.type == "cuda"
    side, size = (8192, 2**30) if is_cuda else (1024, 2**26)
    left, right = (
        torch.randn(side, side, device=device, dtype=torch.bfloat16 if is_cuda else torch.float32) for _ in "ab"
    )
    source, target = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in "ab")
    product = best_seconds(lambda: torch.matmul(left, right), device)
    copied = best_seconds(lambda: target.copy_(source), device)
    return Peaks(2 * side**3 / product, 2 * size / copied)


def best_seconds(work: Callable[[], Any], device: torch.device, repeats: int = 10) -> float:
    """Return the fewest seconds of some calls, after two to warm up."""
    best = float("inf")
    for number in range(repeats + 2):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        if number >= 2:
            best = min(best, time.perf_counter() - start)
    return best


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def count_unet_flops(parts: Parts) -> float:
    """Return the FLOPs of one forward of the UNet on one sample of its native size, by torch's counter."""
    config = parts.unet.config
    options: dict[str, Any] = {"device": parts.device, "dtype": parts.unet.dtype}
    latents = torch.randn(1, config.in_channels, config.sample_size, config.sample_size, **options)
    prompt = torch.randn(1, 77, config.cross_attention_dim, **options)
    with FlopCounterMode(display=False) as counter:
        parts.unet(latents, 500, prompt)
    return float(counter.get_total_flops())


def stylizing_flops(evaluations: float) -> float:
    """Return the FLOPs of a picture at 512 px, including its VAE encoding and decoding."""
    return evaluations * UNET + ENCODE + DECODE


def training_flops() -> float:
    """Return the FLOPs of a training sample on cached latents; the text encoder runs forward and backward."""
    return UNET_TO_PROMPT + 3 * TEXT


def busy_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of spans (start, end), in their unit."""
    total = 0.0
    reached = float("-inf")
    for start, end in sorted(spans):
        total += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return total


def idle_share(work: Callable[[], Any]) -> float:
    """Return the share of a piece of work, 0..1, in which the GPU runs no kernel and copies nothing."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        torch.cuda.synchronize()
        work()
        torch.cuda.synchronize()
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or []
        if event.device_type == torch.autograd.DeviceType.CUDA
    ]
    length = max(end for _, end in spans) - min(start for start, _ in spans)
    return 1 - busy_seconds(spans) / length


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
