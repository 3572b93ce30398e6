"""Hand over to a run what its command found out before: archives and galleries are read once.

A command looks whether there is work before it starts a server. The flow that it then calls in the same process plans
from what that look found, as long as the block lasts in which both happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from artbank.parameters.run_config import RunConfig

Found = TypeVar("Found")

_handed_over: ContextVar[list[tuple[RunConfig, object]] | None] = ContextVar("handed_over", default=None)


@contextmanager
def open_handover() -> Iterator[None]:
    """Let `take` return what `hand_over` is given inside the block; at its end the rest is dropped."""
    token = _handed_over.set([])
    try:
        yield
    finally:
        _handed_over.reset(token)


def hand_over(config: RunConfig, found: object) -> None:
    """Leave what was found for the run of a configuration; does nothing outside of a handover."""
    waiting = _handed_over.get()
    if waiting is not None:
        waiting[:] = [(config, found)]


def take(config: RunConfig, kind: type[Found]) -> Found | None:
    """Return what was handed over for a configuration; None without it, and the second time: a retry reads anew."""
    waiting = _handed_over.get()
    if not waiting or waiting[0][0] != config:
        return None
    found = waiting.pop()[1]
    return found if isinstance(found, kind) else None
