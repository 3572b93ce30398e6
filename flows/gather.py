"""Many tasks of one kind: a bounded number of them at a time, and what became of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")

IN_FLIGHT = 256
"""Tasks, or flow runs, that are submitted and not yet done: no server and no scheduler ever holds more of a run."""


class Future(Protocol):
    """What was started and comes to a result or to an error."""

    def result(self) -> Any:
        """Wait for the result; raises what went wrong."""


_NAMED = 10  # failures in a message


def gather(
    items: Mapping[str, Item],
    start: Callable[[Item], Future],
    *,
    in_flight: int = IN_FLIGHT,
    on_result: Callable[[str, Any], None] = lambda name, end: None,
) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Start a task for every item, and wait for them all.

    Args:
        items: What is to do, by name.
        start: Submits the task of one item.
        in_flight: Tasks that may be submitted and not yet done.
        on_result: Told of each item, when that is known, its result or what was raised.

    Returns:
        The results of the tasks that succeeded, and what the others raised; both by name, in the order of `items`.
    """
    done: dict[str, Any] = {}
    failed: dict[str, Exception] = {}
    waiting: deque[tuple[str, Future]] = deque()

    def settle() -> None:
        name, future = waiting.popleft()
        try:
            done[name] = future.result()
        except Exception as error:  # whatever one task raises must not hide what the others came to
            failed[name] = error
        on_result(name, done.get(name, failed.get(name)))

    for name, item in items.items():
        if len(waiting) == in_flight:
            settle()
        waiting.append((name, start(item)))
    while waiting:
        settle()
    return done, failed


def format_error(error: Exception) -> str:
    """Return an error as `Kind: message`."""
    return f"{type(error).__name__}: {error}"


def format_failures(failed: Mapping[str, Exception]) -> str:
    """Return failures as `name (reason); name (reason)`, of many the first few."""
    named = [f"{name} ({format_error(error)})" for name, error in islice(failed.items(), _NAMED)]
    more = [f"and {len(failed) - _NAMED} more"] if len(failed) > _NAMED else []
    return "; ".join([*named, *more])
