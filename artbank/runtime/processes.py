"""This process and others: is one dead, which signals reach children, and sleep that ends on request."""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from artbank.errors import StopRequested
from artbank.runtime.hashing import short_hash

THIS_HOST = short_hash(platform.node(), 8)
"""8 hex digits that identify this machine."""

_STOP_CHECK_SECONDS = 1.0


def is_dead(host: str, process: int) -> bool:
    """Tell whether a process is known to have ended; False for processes of other machines."""
    if host != THIS_HOST or process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # a process of another user, or a number that no process can have
        return False
    return False


@contextmanager
def shield_children_from_terminal() -> Iterator[None]:
    """Start processes that ignore Ctrl-C and the closing of the terminal, as do their own children.

    The terminal signals the whole process group. The process that handles the signal still needs its children while it
    releases its work, and then ends them.
    """
    resource_tracker.ensure_running()  # later, with the first child, its start would unblock the signals of this thread
    # Children inherit the mask of blocked signals.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def sleep_or_stop(seconds: float, should_stop: Callable[[], bool]) -> None:
    """Sleep, and check every second whether to stop.

    Raises:
        StopRequested: `should_stop` returned True.
    """
    end = time.monotonic() + seconds
    while (remaining := end - time.monotonic()) > 0:
        if should_stop():
            raise StopRequested("the process was asked to stop; run again to continue")
        time.sleep(min(remaining, _STOP_CHECK_SECONDS))
