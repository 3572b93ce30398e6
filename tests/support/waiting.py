"""Waits for a state, on a machine of any speed; the limits only end waits for a state that never comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 100  # below the time limit of a test of the fast tier
_ROUNDS = 2_000_000
_ORDINARY_SECONDS = 0.1  # for these rounds, on an idle processor of today

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
    """How many times slower than an ordinary idle machine this one is just now; 1 for a faster one.

    A bound in seconds that a user is promised is multiplied by it: a busy machine is no fault of the code.
    """
    start = time.monotonic()
    for _ in range(_ROUNDS):
        pass
    return max(1.0, (time.monotonic() - start) / _ORDINARY_SECONDS)
