"""This process and others: which are known to be gone, which heed a terminal, and waiting that ends when asked to."""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from artbank.errors import StopRequested

THIS_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""8 hex digits that stand for this machine's name."""


def is_dead(host: str, process: int) -> bool:
    """Say whether a process is known to have ended; of other machines' nothing is known."""
    if host != THIS_HOST or process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is another user's, or none at all
        return False
    return False


@contextmanager
def shield_children_from_terminal() -> Iterator[None]:
    """Have Ctrl-C, and a terminal that is closed, spare the processes that are started in the block, and theirs.

    A terminal tells all processes of a job at once. Who gives work back then still needs these, and ends them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})  # which children inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def sleep_or_stop(seconds: float, should_stop: Callable[[], bool]) -> None:
    """Let time go by.

    Raises:
        StopRequested: It should stop.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if should_stop():
            raise StopRequested("the process was asked to end; run again to go on")
        time.sleep(min(left, 1.0))
