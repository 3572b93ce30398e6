"""The CPU cores that this process may use, its share of them in codec processes, and how PyTorch's threads use them."""

from __future__ import annotations

import math
import os
from pathlib import Path

from artbank.errors import ConfigError
from artbank.runtime.gpus import count_nvidia_gpus

CODEC_VARIABLE = "ARTBANK_CODEC_PROCESSES"
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def count_codec_processes() -> int:
    """Return how many processes of this one decode photos and encode pictures, 1 or more.

    `ARTBANK_CODEC_PROCESSES` sets the number. Otherwise it is the process's share of the cores: a machine has one
    worker for each of its GPUs. `OMP_NUM_THREADS` is about PyTorch's threads and has no effect.

    Raises:
        ConfigError: The variable is not a number of processes.
    """
    value = os.environ.get(CODEC_VARIABLE, "").strip()
    if not value:
        return max(count_cores() // max(count_nvidia_gpus(), 1), 1)
    if value.isdecimal() and int(value):
        return int(value)
    raise ConfigError(f"{CODEC_VARIABLE}: expected a number of processes, 1 or more, found {value!r}; unset or mend it")


def count_cores() -> int:
    """Return the number of cores that this process may use, 1 or more: of its affinity, within its cgroup's quota."""
    return max(math.ceil(min(_count_seen(), _read_quota())), 1)


def share_cores() -> None:
    """Make PyTorch's threads good neighbours on the cores of this machine; call it before PyTorch is imported.

    A thread that waits for others sleeps instead of spinning: spinning takes time from other programs, and from the
    threads that it waits for where there are more of them than cores. Where a container leaves this process fewer cores
    than it sees, there are as many threads as cores. Variables that are set stay as they are. Child processes inherit
    them.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if _read_quota() < _count_seen():
        os.environ.setdefault("OMP_NUM_THREADS", str(count_cores()))


def _count_seen() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_quota() -> float:
    """Return the cores that the control groups of this process leave it, as containers limit them; infinite if none."""
    return min((_parse_quota(text) for text in _read_limits()), default=math.inf)


def _read_limits() -> list[str]:
    """Return quota and period of each limit, in microseconds, as version 2 of control groups writes them."""
    try:
        lines = _OWN_GROUP.read_text().splitlines()
    except OSError:  # no Linux
        return []
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    folders = [_GROUPS / group, *(_GROUPS / group).parents]
    quotas = [_read(folder / "cpu.max") for folder in folders if folder.is_relative_to(_GROUPS)]
    old = _GROUPS / "cpu"  # version 1
    quotas.append(f"{_read(old / 'cpu.cfs_quota_us')} {_read(old / 'cpu.cfs_period_us')}")
    return quotas


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # there is no such limit
        return ""


def _parse_quota(text: str) -> float:
    quota, _, period = text.partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else math.inf
