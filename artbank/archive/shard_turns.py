"""The order of the shards that a process works on at once: one is read and decoded while the one before is drawn.

A shard may start to read when the one before has started to decode its last photo, and to draw when the one before has
scored its last picture. So one shard at a time uses the model, and two shards share the decoded photos that may wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from artbank.errors import StopRequested
from artbank.runtime.prefetch import GetResult

T = TypeVar("T")
ShouldStop = Callable[[], bool]

_STOP_CHECK_SECONDS = 1.0


class ShardTurns:
    """Gives the shards of a process their turns, in the order in which they began; safe for several threads."""

    def __init__(self) -> None:
        """Start with no shard."""
        self._changed = threading.Condition()
        self._line: list[Turn] = []  # in the order of reading; the first one draws
        self._reading: Turn | None = None

    @contextmanager
    def open(self, should_stop: ShouldStop) -> Iterator[Turn]:
        """Wait until a shard may start to read; its turn ends with the block at the latest.

        Raises:
            StopRequested: `should_stop` returned True.
        """
        turn = Turn(self, should_stop)
        with self._changed:
            _wait(self._changed, lambda: self._reading is None, should_stop)
            self._reading = turn
            self._line.append(turn)
        try:
            yield turn
        finally:
            turn.end()

    def _wait_for_model(self, turn: Turn, should_stop: ShouldStop) -> None:
        with self._changed:
            _wait(self._changed, lambda: self._line[0] is turn, should_stop)

    def _end_reading(self, turn: Turn) -> None:
        with self._changed:
            if self._reading is turn:
                self._reading = None
                self._changed.notify_all()

    def _end(self, turn: Turn) -> None:
        self._end_reading(turn)
        with self._changed:
            if turn in self._line:
                self._line.remove(turn)
                self._changed.notify_all()


class Turn:
    """The turn of one shard; ending a part of it a second time has no effect."""

    def __init__(self, turns: ShardTurns, should_stop: ShouldStop):
        """Take a place among turns."""
        self._turns = turns
        self._should_stop = should_stop

    def end_reading(self) -> None:
        """Let the next shard read: the last photo of this one is being decoded."""
        self._turns._end_reading(self)

    def wait_for_model(self) -> None:
        """Wait until all shards that began before have drawn their pictures.

        Raises:
            StopRequested: The shard is asked to stop.
        """
        self._turns._wait_for_model(self, self._should_stop)

    def end(self) -> None:
        """Let the next shard draw: this one needs the model no more."""
        self._turns._end(self)


class SharedWindow:
    """Bounds the number and the weight of results that wait to be taken, over all shards; safe for several threads."""

    def __init__(self, size: int, max_weight: int):
        """Set the bounds.

        Args:
            size: Most results that wait.
            max_weight: Most weight of them together; a heavier one waits alone.
        """
        self._size = size
        self._max_weight = max_weight
        self._changed = threading.Condition()
        self._weights: list[int] = []

    @contextmanager
    def open(self, should_stop: ShouldStop) -> Iterator[Callable[[int, Callable[[], GetResult[T]]], GetResult[T]]]:
        """Give a shard the function that starts work of a weight once it fits; what is never taken ends with the block.

        The function raises StopRequested when `should_stop` returned True.
        """
        taken: list[int] = []

        def release(weight: int) -> None:
            with self._changed:
                if weight in taken:
                    taken.remove(weight)
                    self._weights.remove(weight)
                    self._changed.notify_all()

        def take(weight: int, get_result: GetResult[T]) -> T:
            try:
                return get_result()
            finally:
                release(weight)

        def start(weight: int, begin: Callable[[], GetResult[T]]) -> GetResult[T]:
            with self._changed:
                _wait(self._changed, lambda: self._fits(weight), should_stop)
                self._weights.append(weight)
                taken.append(weight)
            return partial(take, weight, begin())

        try:
            yield start
        finally:
            for weight in [*taken]:
                release(weight)

    def _fits(self, weight: int) -> bool:
        is_light = not self._weights or sum(self._weights) + weight <= self._max_weight
        return is_light and len(self._weights) < self._size


def _wait(condition: threading.Condition, is_ready: Callable[[], bool], should_stop: ShouldStop) -> None:
    while not condition.wait_for(is_ready, _STOP_CHECK_SECONDS):
        if should_stop():
            raise StopRequested
