"""Report the stage of a run of this process to people who watch it: `reading 21 paintings`, `step 42 of 60`.

The core reports each stage with `show_stage`. Displays register with `listening`; without one, nothing is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes:
        text: For people, in one line.
        done: Units of the stage that are done; 0 if it is not counted.
        total: Units of the stage; None if it is not counted.
    """

    text: str
    done: int = 0
    total: int | None = None


Listener = Callable[[Stage], None]
_listeners: list[Listener] = []
_stops: list[str] = []


def show_stage(text: str, done: int = 0, total: int | None = None) -> None:
    """Tell all listeners of this process what is being done now; safe to call from any thread."""
    for listener in tuple(_listeners):
        listener(Stage(text, done, total))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call a function with every stage that begins or goes on inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def record_stop(text: str) -> None:
    """Note what a stop of this process kept, such as `stopped at step 47, kept`."""
    _stops.append(text)


def take_stops() -> list[str]:
    """Return what was noted by `record_stop`, and forget it."""
    noted = list(_stops)
    _stops.clear()
    return noted
