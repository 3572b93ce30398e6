"""The progress of one run: counts per part, rate, and whether its work should stop."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import cast

from artbank.runs.outcome import Tally
from artbank.runtime.durations import seconds_text
from artbank.runtime.stages import show_stage

LOG_SECONDS = 60.0
"""Between two lines of a run's log that say how much is done."""

_RATE_SAMPLES = 31


class RunProgress:
    """Counts what is done of a run, part by part: a part is a shard or a group of trainings.

    Safe to use from several threads.

    Attributes:
        tallies: The tally of each finished shard, by shard id; empty for trainings.
        num_failed: Pictures or collections that failed so far.
        num_workers: Number of workers, if known.
        is_stopping: Whether the work of this run should stop.
    """

    def __init__(self, unit: str, total: int = 0, *, is_most: bool = False):
        """Start at zero.

        Args:
            unit: What is counted, in the singular.
            total: Units in the whole run; 0 if not known yet.
            is_most: Whether the total is an upper bound: trainings may end early.
        """
        self.unit = unit
        self.is_most = is_most
        self.tallies: dict[str, Tally] = {}
        self.num_failed = 0
        self.num_workers = cast("int | None", None)
        self.is_stopping = False
        self._totals: dict[str, int] = {"": total} if total else {}
        self._done: dict[str, int] = {}
        self._loss: float | None = None
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque(maxlen=_RATE_SAMPLES)

    @property
    def done(self) -> int:
        """Units that are done."""
        with self._lock:
            return sum(self._done.values())

    @property
    def total(self) -> int:
        """Units of all parts known so far."""
        with self._lock:
            return sum(self._totals.values())

    @property
    def percent(self) -> float:
        """Share of the units that are done, 0..100."""
        done = self.done
        total = self.total
        if not total:
            return 100.0 if self._totals else 0.0
        return min(100 * done / total, 100.0)

    @property
    def wall_seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def add_parts(self, totals: Mapping[str, int]) -> None:
        """Add parts of known size to the total."""
        with self._lock:
            self._totals |= totals

    def remove_part(self, part: str) -> None:
        """Remove a part whose work moves to other parts."""
        with self._lock:
            self._totals.pop(part, None)
            self._done.pop(part, None)

    def update(self, part: str, done: int, total: int | None = None, loss: float | None = None) -> None:
        """Record how many units of a part are done, its corrected total, and the latest loss."""
        with self._lock:
            self._done[part] = done
            if part in self._totals and total is not None:
                self._totals[part] = total
            if loss is not None:
                self._loss = loss
            self._show()

    def record_tallies(self, tallies: Mapping[str, Tally]) -> None:
        """Record the tallies of finished shards, by shard id."""
        with self._lock:
            for part, tally in tallies.items():
                self.num_failed += tally.failed - self.tallies.get(part, Tally()).failed
                self.tallies[part] = tally
                self._done[part] = tally.done + tally.failed
            self._show()

    def record_end(self, part: str, end: object) -> None:
        """Record what the task of a shard ended with, if that is its tally: not an error, nor a run elsewhere."""
        if isinstance(end, Tally):
            self.record_tallies({part: end})

    def finish_part(self, part: str, *, num_failed: int) -> None:
        """Set a part's total to what is done of it, and count what failed in it."""
        with self._lock:
            self._totals[part] = self._done.get(part, 0)
            self.num_failed += num_failed
            self._show()

    def sample_rate(self) -> None:
        """Record the time and the units done; `describe` computes the rate from such samples."""
        self._samples.append((time.monotonic(), self.done))

    def describe(self) -> str:
        """Return one line with the units done, the rate and the time left."""
        done = self.done
        total = self.total
        rate = self._rate()
        most = "at most " if self.is_most else ""
        parts = [f"{done:,} of {most}{total:,} {self.unit}s, {self.num_failed:,} failed"]
        if rate:
            left = f", {most or 'about '}{seconds_text((total - done) / rate)} left" if total > done else ""
            parts.append(f"{rate:.3g} {self.unit}s per second{left}")
        if self._loss is not None:
            parts.append(f"loss {self._loss:.4f}")
        return "; ".join(parts)

    def _rate(self) -> float | None:
        if len(self._samples) < 2:
            return None
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end - start) if end > start and after > before else None

    def _show(self) -> None:
        """Show what is done of the run as its stage: `step 42 of at most 60; loss 0.0123`."""
        done = sum(self._done.values())
        total = sum(self._totals.values())
        facts = [f"{self.num_failed:,} failed"] if self.num_failed else []
        if self._loss is not None:
            facts.append(f"loss {self._loss:.4f}")
        most = "at most " if self.is_most else ""
        show_stage("; ".join([f"{self.unit} {done:,} of {most}{total:,}", *facts]), done, total)
