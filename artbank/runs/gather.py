"""Run many tasks of one kind: a bounded number in flight, and the result or error of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

from artbank.runtime.prefetch import prefetch
from artbank.store.explanations import explain, is_explained

Item = TypeVar("Item")

IN_FLIGHT = 256
"""Most tasks, or flow runs, of a run that are submitted and not done; bounds the load on server and scheduler."""

_MAX_NAMED = 10  # failures that a message names


class Future(Protocol):
    """A submitted task."""

    def result(self) -> Any:
        """Wait for the result; raises the task's error."""


def gather(
    items: Mapping[str, Item],
    start: Callable[[Item], Future],
    *,
    in_flight: int = IN_FLIGHT,
    on_result: Callable[[str, Any], None] = lambda name, result: None,
) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Submit a task for every item and wait for all of them; one that fails or cannot be submitted stops no other.

    Args:
        items: The items by name.
        start: Submits the task of one item.
        in_flight: Most tasks that are submitted and not done, 1 or more.
        on_result: Called with the name of each item and its result or error, in the order of `items`.

    Returns:
        The results of the tasks that succeeded and the errors of the others, both by name. Errors of any kind are
        here, for they must not lose the results of other tasks.
    """

    def submit(name: str) -> Callable[[], tuple[str, Any, Exception | None]]:
        try:
            future = start(items[name])
        except Exception as error:
            return partial(_fail, name, error)
        return partial(_wait, name, future)

    done: dict[str, Any] = {}
    failed: dict[str, Exception] = {}
    for name, result, error in prefetch(items, submit, depth=in_flight - 1):
        if error is None:
            done[name] = result
        else:
            failed[name] = error
        on_result(name, result if error is None else error)
    return done, failed


def format_failures(failed: Mapping[str, Exception]) -> str:
    """Return failures as `name (reason); name (reason)`, naming the first ten."""
    named = [f"{name} ({format_error(error)})" for name, error in islice(failed.items(), _MAX_NAMED)]
    more = [f"and {len(failed) - _MAX_NAMED} more"] if len(failed) > _MAX_NAMED else []
    return "; ".join([*named, *more])


def format_error(error: BaseException) -> str:
    """Return an error as `Kind: message`, with what to do about an error of a store."""
    return f"{type(error).__name__}: {explain(error) if is_explained(error) else error}"


def _wait(name: str, future: Future) -> tuple[str, Any, Exception | None]:
    try:
        return name, future.result(), None
    except Exception as error:
        return _fail(name, error)


def _fail(name: str, error: Exception) -> tuple[str, None, Exception]:
    return name, None, error
