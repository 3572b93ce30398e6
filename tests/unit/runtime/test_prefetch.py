"""Stages overlap in order and within bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from artbank.runtime.prefetch import batch_by, prefetch


class Work:
    """Counts what is under way."""

    def __init__(self) -> None:
        self.under_way: list[int] = []
        self.most, self.heaviest = 0, 0

    def start(self, item: int) -> Callable[[], int]:
        self.under_way.append(item)
        self.most, self.heaviest = max(self.most, len(self.under_way)), max(self.heaviest, sum(self.under_way))

        def wait() -> int:
            self.under_way.remove(item)
            return item * 10

        return wait


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_what_is_started_ahead_comes_in_order_and_never_more_than_was_said(items: list[int], count: int) -> None:
    work = Work()
    assert list(prefetch(items, work.start, depth=count)) == [item * 10 for item in items]
    assert work.most == min(len(items), count + 1)


@given(st.lists(st.integers(1, 9)), st.integers(1, 20))
def test_what_is_under_way_never_weighs_more_than_was_said_but_for_one_alone(items: list[int], weight: int) -> None:
    work = Work()
    found = list(prefetch(items, work.start, depth=100, weigh=lambda item: item, max_weight=weight))
    assert found == [item * 10 for item in items]
    assert work.heaviest <= max([weight, *items])


def test_the_next_is_under_way_while_one_is_looked_at() -> None:
    begun = [threading.Event() for _ in range(3)]
    with ThreadPoolExecutor(1) as pool:
        found = prefetch(range(3), lambda item: pool.submit(begun[item].set).result, depth=2)
        next(found)
        assert begun[1].wait(60) and begun[2].wait(60)


def test_an_error_comes_where_its_outcome_would_have() -> None:
    def start(item: int) -> Callable[[], int]:
        return lambda: 6 // item

    found = prefetch([3, 0, 1], start, depth=2)
    assert next(found) == 2
    try:
        next(found)
    except ZeroDivisionError:
        return
    raise AssertionError("no error came")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())), st.integers(1, 4), st.integers(0, 6))
def test_batches_are_of_one_kind_full_where_they_can_be_and_lose_nothing(
    items: list[tuple[str, int]], size: int, most: int
) -> None:
    found = list(batch_by(items, lambda item: item[0], size, max_waiting=most))
    assert sorted(item for batch in found for item in batch) == sorted(items)
    assert all(len({kind for kind, _ in batch}) == 1 and len(batch) <= size for batch in found)
    if not most:
        assert sum(len(batch) < size for batch in found) <= 3  # one remainder for each kind
    for kind in "abc":
        assert [i for batch in found for i in batch if i[0] == kind] == [i for i in items if i[0] == kind]


def test_no_more_items_wait_for_their_batch_than_was_said() -> None:
    taken: list[int] = []

    def items() -> list[int]:
        return [taken.append(i) or i for i in range(100)]

    source = iter(items())
    waiting = 0
    for batch in batch_by(source, lambda item: item % 10, 8, max_waiting=12):
        waiting = len(batch)
        break
    assert waiting == 2 and next(source) == 13  # the thirteenth was one too many, and the fullest two went
