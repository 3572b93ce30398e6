"""This process and others: is one dead, which signals reach children, who they are, and sleep that ends on request."""

from __future__ import annotations

import os
import platform
import signal
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from artbank.errors import StopRequested
from artbank.runtime.hashing import short_hash

T = TypeVar("T")

_STOP_CHECK_SECONDS = 1.0


def _identify_pid_space() -> str:
    """Return what identifies the processes among which a process id is unique: host name, boot and pid namespace.

    Containers and pods may share a host name, and containers of one machine also its boot. Where the system tells
    neither boot nor namespace, this process is alone in its space: it takes no other process for dead.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return short_hash(uuid.uuid4().hex)
    return short_hash(f"{platform.node()}\n{boot}\n{namespace}")


PID_SPACE = _identify_pid_space()
"""16 hex digits that two processes share only if each can tell by the other's id whether it is alive."""


def is_dead(pid_space: str, process: int) -> bool:
    """Return whether a process is known to have ended; False for processes of another `PID_SPACE`."""
    if pid_space != PID_SPACE or process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # a process of another user, or a number that no process can have
        return False
    return False


TERMINAL_SIGNALS = frozenset({signal.SIGINT, signal.SIGHUP})
"""Ctrl-C, and the closing of the terminal."""

STOP_SIGNALS = TERMINAL_SIGNALS | {signal.SIGTERM}
"""All that asks a process to end."""


@contextmanager
def shield_children_from_signals(signals: Collection[int] = STOP_SIGNALS) -> Iterator[None]:
    """Start processes that do not receive some signals, from their first moment on, and neither do their children.

    A terminal signals the whole process group, and systemd, Slurm and `kill -- -GROUP` do so too. The process that
    handles the signal still needs its children while it releases its work, and then ends them.
    """
    resource_tracker.ensure_running()  # later, with the first child, its start would unblock the signals of this thread
    # Children inherit the mask of blocked signals.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


class ChildRegister(SpawnContext):
    """Makes child processes, for a pool that takes a context of multiprocessing, and knows which they are.

    The children are not forked: locks that this process's threads hold would stay locked in a forked child.
    """

    def __init__(self) -> None:
        """Make a register without children."""
        super().__init__()
        self._children: WeakSet[SpawnProcess] = WeakSet()

    def Process(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, *args: Any, **options: Any
    ) -> SpawnProcess:
        """Make a child process, not started yet. In multiprocessing's own contexts `Process` is the class itself."""
        child = SpawnProcess(*args, **options)
        self._children.add(child)
        return child

    def kill_all(self) -> None:
        """Kill the children that run, and wait for their end."""
        for child in list(self._children):
            if child.is_alive():
                child.kill()
                child.join()


def result_or_stop(work: Future[T], should_stop: Callable[[], bool]) -> T:
    """Wait for the result of work in a thread, and check every second whether to stop.

    Raises:
        StopRequested: `should_stop` returned True.
        Exception: As the work does.
    """
    while not wait([work], timeout=_STOP_CHECK_SECONDS).done:
        if should_stop():
            raise StopRequested
    return work.result()


def sleep_or_stop(seconds: float, should_stop: Callable[[], bool]) -> None:
    """Sleep, and check every second whether to stop.

    Raises:
        StopRequested: `should_stop` returned True.
    """
    end = time.monotonic() + seconds
    while (remaining := end - time.monotonic()) > 0:
        if should_stop():
            raise StopRequested
        time.sleep(min(remaining, _STOP_CHECK_SECONDS))
