"""Work that overlaps, in order and within bounds: what one stage does while the next one is busy."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from artbank.runtime.telemetry import Queue, note_queue

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Waits = Callable[[], Outcome]
"""Waits for what was started and returns what came of it."""


def ahead(
    items: Iterable[Item],
    start: Callable[[Item], Waits[Outcome]],
    *,
    count: int,
    weigh: Callable[[Item], int] = lambda item: 0,
    weight: int = 0,
    queue: Queue = "",
) -> Iterator[Outcome]:
    """Start work on items before it is asked for, and yield what came of it in the order of the items.

    Args:
        items: Taken one at a time, as they are started.
        start: Begins the work on one item elsewhere, and returns at once.
        count: Items that are under way beside the one that is waited for, 1 or more.
        weigh: What an item weighs, such as its bytes.
        weight: Most that the items under way may weigh together; one that weighs more goes alone. Without limit if 0.
        queue: What the metrics call the items under way, if anything.
    """
    waiting: deque[tuple[int, Waits[Outcome]]] = deque()
    total = 0
    try:
        for item in items:
            own = weigh(item)
            while waiting and (len(waiting) > count or (weight and total + own > weight)):
                done, wait = waiting.popleft()
                total -= done
                yield wait()
            waiting.append((own, start(item)))
            total += own
            note_queue(queue, len(waiting))
        while waiting:
            yield waiting.popleft()[1]()
            note_queue(queue, len(waiting))
    finally:
        note_queue(queue, 0)


def batches(
    items: Iterable[Item], kind: Callable[[Item], Hashable], size: int, *, most: int = 0
) -> Iterator[list[Item]]:
    """Gather items of one kind into batches, and yield each as soon as it is full; the unfilled ones at the end.

    Args:
        items: In any order.
        kind: What must be equal within a batch.
        size: Items in a batch, 1 or more.
        most: Items that may wait for their batch to fill; then the fullest goes as it is. Without limit if 0.
    """
    open_ones: dict[Hashable, list[Item]] = defaultdict(list)
    for item in items:
        own = kind(item)
        open_ones[own].append(item)
        if len(open_ones[own]) == size:
            yield open_ones.pop(own)
        elif most and sum(map(len, open_ones.values())) > most:
            yield open_ones.pop(max(open_ones, key=lambda one: len(open_ones[one])))
    yield from open_ones.values()
