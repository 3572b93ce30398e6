"""Wait for states on a machine of any speed, and measure that speed where a bound in seconds cannot be avoided.

The limits of the waits only end those for a state that never comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 100  # below the time limit of a test of the fast tier
_ROUNDS = 2_000_000
_ORDINARY_SECONDS = 0.1  # for these rounds; idle servers took 0.04 to 0.1 s

T = TypeVar("T")


def wait_for(look: Callable[[], T], seconds: float = PATIENCE_SECONDS, *, pause_seconds: float = 0.05) -> T:
    """Wait until `look` returns a true value; returns that value.

    Raises:
        AssertionError: It returned none in time; with its last value.
    """
    found = poll(look, seconds, pause_seconds=pause_seconds)
    assert found, f"still {found!r} after {seconds:g} s"
    return found


def poll(look: Callable[[], T], seconds: float, *, pause_seconds: float = 0.05) -> T:
    """Return the first true value of `look`, or its last one when the time is over."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(pause_seconds)
    return found


def slowness() -> float:
    """Return the time of a fixed piece of work as a multiple of that on an ordinary idle machine, at least 1.

    Seconds that were measured beside it are divided by it before they are compared with what users are promised.
    """
    start = time.monotonic()
    for _ in range(_ROUNDS):
        pass
    return max(1.0, (time.monotonic() - start) / _ORDINARY_SECONDS)
