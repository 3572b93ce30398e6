"""Time the calls of a function on a device, without waiting for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class Timing:
    """The seconds of the calls after the first few.

    Attributes:
        num_first: First calls that are not timed.
        num_calls: Calls so far.
        total: Seconds of those that are timed.
    """

    num_first: int
    num_calls: int = 0
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Add a call."""
        self.num_calls += 1
        if self.num_calls > self.num_first:
            self.total += seconds

    @property
    def mean(self) -> float | None:
        """Mean seconds of a call; None if none is timed yet."""
        num_timed = self.num_calls - self.num_first
        return self.total / num_timed if num_timed > 0 else None


class Stopwatch:
    """Times calls without waiting for their device."""

    def __init__(self, device: torch.device):
        """Make a stopwatch for calls on a device."""
        self._device = device
        self._running: deque[tuple[Any, Any, Timing]] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def time(self, timing: Timing) -> Iterator[None]:
        """Time the block; on CUDA the time is added by a later call, once the device has reached the block's end."""
        if self._device.type != "cuda":
            start = time.perf_counter()
            yield
            timing.add(time.perf_counter() - start)
            return
        self._collect()
        stream = torch.cuda.current_stream(self._device)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record(stream)
        yield
        last.record(stream)
        self._running.append((first, last, timing))

    def _collect(self) -> None:
        with self._lock:
            while self._running and self._running[0][1].query():
                first, last, timing = self._running.popleft()
                timing.add(first.elapsed_time(last) / 1000)
