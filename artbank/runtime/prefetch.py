"""Bounded work in flight: items are started ahead of their consumer and come back in order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from artbank.runtime.telemetry import Queue, record_queue

Item = TypeVar("Item")
T = TypeVar("T")
GetResult = Callable[[], T]
"""Waits for work that was started, and returns its result or raises its error; `Future.result` is one."""


def prefetch(
    items: Iterable[Item],
    start: Callable[[Item], GetResult[T]],
    *,
    depth: int,
    weigh: Callable[[Item], int] = lambda item: 0,
    max_weight: int = 0,
    queue: Queue = "",
) -> Iterator[T]:
    """Start the work on items ahead of the consumer, and yield the results in the order of the items.

    An error is raised in the place of its result.

    Args:
        items: Taken one at a time, when their work starts.
        start: Starts the work on one item in a thread or process, and returns at once.
        depth: Number of items in flight while the consumer is busy with one result; 0 starts each item only when the
            previous one is done.
        weigh: The weight of an item, such as its bytes.
        max_weight: Largest total weight of the items in flight; a heavier item is in flight alone. No limit if 0.
        queue: Name under which telemetry records the number of items in flight, if any.
    """
    in_flight: deque[tuple[int, GetResult[T]]] = deque()
    total = 0
    try:
        for item in items:
            weight = weigh(item)
            while in_flight and (len(in_flight) > depth or (max_weight and total + weight > max_weight)):
                first_weight, get_result = in_flight.popleft()
                total -= first_weight
                yield get_result()
            in_flight.append((weight, start(item)))
            total += weight
            record_queue(queue, len(in_flight))
        while in_flight:
            _, get_result = in_flight.popleft()
            yield get_result()
            record_queue(queue, len(in_flight))
    finally:
        record_queue(queue, 0)


def batch_by(
    items: Iterable[Item], key: Callable[[Item], Hashable], size: int, *, max_waiting: int = 0
) -> Iterator[list[Item]]:
    """Group items of equal key into batches; yield each when it is full, and the partial ones at the end.

    Args:
        items: In any order.
        key: Equal for all items of a batch.
        size: Items in a full batch, 1 or more.
        max_waiting: Most items that wait for their batches to fill; beyond it the fullest batch is yielded as it is.
            No limit if 0.
    """
    partial: dict[Hashable, list[Item]] = defaultdict(list)
    for item in items:
        kind = key(item)
        partial[kind].append(item)
        if len(partial[kind]) == size:
            yield partial.pop(kind)
        elif max_waiting and sum(map(len, partial.values())) > max_waiting:
            fullest = max(partial, key=lambda key: len(partial[key]))
            yield partial.pop(fullest)
    yield from partial.values()
