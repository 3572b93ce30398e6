"""Measure contenders side by side, in interleaved rounds; ratios are of pairs within a round.

On CPU a unit of work costs the CPU seconds of this process and its children. On CUDA it costs the seconds from one
synchronisation to the next; CUDA's events also give the time from the first kernel to the last.
"""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.peers.counting import check, count_trained, counting
from bench.peers.kit import Contender

logger = logging.getLogger(__name__)

LEAST_ROUNDS, MOST_ROUNDS = 2, 9


@dataclass(frozen=True)
class Cost:
    """Cost of one unit of work, in seconds per image or sample."""

    seconds: float
    wall: float
    gpu: float | None


@dataclass
class Row:
    """The costs of one contender, round by round, and its counts."""

    name: str
    batch: int
    dtype: str
    unet: float
    trained: int
    costs: list[Cost] = field(default_factory=list)
    album: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, contender: Contender) -> Row:
        """Return an empty row."""
        expected = contender.expected
        trained = count_trained(contender.optimizer)
        dtype = str(expected.dtype).removeprefix("torch.")
        return cls(contender.name, contender.batch, dtype, expected.unet, trained, album=contender.album)

    @property
    def seconds(self) -> float:
        """Median seconds per image or sample: CPU seconds on CPU, elapsed seconds on CUDA."""
        return median(cost.seconds for cost in self.costs)

    @property
    def rate(self) -> float:
        """Median images or samples per elapsed second."""
        return 1 / median(cost.wall for cost in self.costs)

    @property
    def gpu_seconds(self) -> float | None:
        """Median GPU seconds per image or sample; None on CPU."""
        times = [cost.gpu for cost in self.costs if cost.gpu is not None]
        return median(times) if times else None


@dataclass(frozen=True)
class Ratio:
    """The ratio of two costs: median, least and most over the rounds."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}-{self.most:.2f})"


def ratio(slower: Row, faster: Row, *, on_gpu: bool = False) -> Ratio:
    """Compare two contenders by their costs in the same rounds.

    Args:
        slower: Whose cost is above the line.
        faster: Whose cost is below.
        on_gpu: By the GPU's events alone, where there are any.
    """
    pairs = zip(slower.costs, faster.costs, strict=True)
    if on_gpu and slower.gpu_seconds is not None:
        ratios = [(one.gpu or 0.0) / (other.gpu or 1.0) for one, other in pairs]
    else:
        ratios = [one.seconds / other.seconds for one, other in pairs]
    return Ratio(median(ratios), min(ratios), max(ratios))


@dataclass
class Table:
    """The rows of contenders that were measured together, and the names of those that were left out."""

    rows: dict[str, Row]
    notes: list[str]
    rounds: int

    def __getitem__(self, name: str) -> Row:
        return self.rows[name]


def compete(
    contenders: Mapping[str, Contender], device: torch.device, budget: float, rounds: int | None = None
) -> Table:
    """Measure contenders in interleaved rounds, within a budget.

    Each is run once to warm up and to be checked; then the number of rounds follows from what that took. Where not even
    two rounds fit, the slowest are left out, and a note tells so; `ours` never are.

    Args:
        contenders: By a short name, those of artbank beginning with `ours`.
        device: Where they run.
        budget: Seconds of the clock.
        rounds: As many, whatever the budget, and with all.

    Raises:
        CountError: One does not do what it says.
    """
    start = time.monotonic()
    notes = []
    kept = {}
    rows = {}
    costs = {}
    for key, contender in contenders.items():
        if (fitting := _fit(contender, device, notes)) is not None:
            kept[key], costs[key] = fitting
            rows[key] = Row.of(kept[key])
            logger.info("%s: %.1f s a unit of work", key, costs[key])
    chosen, planned = plan_rounds(costs, budget - (time.monotonic() - start)) if rounds is None else ([*costs], rounds)
    notes += [f"{rows[key].name}: left out, {costs[key]:.1f} s a unit do not fit" for key in costs if key not in chosen]
    for _ in range(planned):
        for key in chosen:
            rows[key].costs.append(measure(kept[key], device)[0])
    for contender in kept.values():
        contender.close()
    return Table({key: rows[key] for key in chosen}, notes, planned)


def plan_rounds(costs: Mapping[str, float], budget: float) -> tuple[list[str], int]:
    """Choose the contenders that fit in the budget, and the number of rounds.

    Args:
        costs: Seconds of a unit of work, by name; names that begin with `ours` are always chosen.
        budget: Seconds for all rounds.
    """
    chosen = dict(costs)
    while LEAST_ROUNDS * sum(chosen.values()) > budget:
        droppable = [key for key in chosen if not key.startswith("ours")]
        if len(droppable) <= 1:
            return list(chosen), max(int(budget / sum(chosen.values())), 1)
        chosen.pop(max(droppable, key=lambda key: chosen[key]))
    return list(chosen), min(int(budget / sum(chosen.values())), MOST_ROUNDS)


def measure(contender: Contender, device: torch.device) -> tuple[Cost, int]:
    """Run a unit of work and check its counts; returns its cost and the number of images or samples.

    Raises:
        CountError: The counts differ from the expected ones.
    """
    with counting(contender.watched) as counts:
        before = cpu_seconds()
        watch = _Watch(device)
        made = contender.work()
        wall, gpu = watch.stop()
        used = cpu_seconds() - before
    number = len(made)
    check(contender.name, contender.expected, counts, number, count_trained(contender.optimizer))
    seconds = wall if device.type == "cuda" else used
    return Cost(seconds / number, wall / number, None if gpu is None else gpu / number), number


def _fit(contender: Contender, device: torch.device, notes: list[str]) -> tuple[Contender, float] | None:
    """Warm a contender up, and halve its batch until it fits; returns it and the seconds of a unit."""
    try:
        cost, number = measure(contender, device)
        if contender.compiles:
            cost, number = measure(contender, device)
        return contender, cost.wall * number
    except torch.OutOfMemoryError:
        notes.append(f"{contender.name}: batch {contender.batch} does not fit in the memory of the card")
    torch.cuda.empty_cache()
    return None if contender.smaller is None else _fit(contender.smaller(), device, notes)


class _Watch:
    def __init__(self, device: torch.device):
        self._events = None
        if device.type == "cuda":
            torch.cuda.synchronize()
            self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            self._events[0].record()
        self._start = time.perf_counter()

    def stop(self) -> tuple[float, float | None]:
        """Return the elapsed seconds and those of the GPU."""
        gpu = None
        if self._events is not None:
            self._events[1].record()
            torch.cuda.synchronize()
            gpu = self._events[0].elapsed_time(self._events[1]) / 1000
        wall = time.perf_counter() - self._start
        return wall, gpu


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and its children, including those that still run."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = sum(_ticks_of(child) for child in _children(os.getpid())) / os.sysconf("SC_CLK_TCK")
    return time.process_time() + ended.ru_utime + ended.ru_stime + running


def _children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task")
    if not tasks.is_dir():
        return []
    direct = [int(pid) for task in tasks.iterdir() for pid in _read(task / "children").split()]
    return direct + [deeper for pid in direct for deeper in _children(pid)]


def _ticks_of(process: int) -> int:
    """Return the clock ticks of a process and of its children that have ended."""
    fields = _read(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) if fields else 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""
