"""`gather` runs many tasks with a bounded number in flight."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from artbank.runs.gather import format_failures, gather


class Desk:
    """Starts tasks that end when they are asked for their result, and counts those under way."""

    def __init__(self) -> None:
        self.open, self.most = 0, 0

    def start(self, item: int) -> Any:
        self.open += 1
        self.most = max(self.most, self.open)
        return Ticket(self, item)


class Ticket(Future[int]):
    """Fails for odd items."""

    def __init__(self, desk: Desk, item: int):
        super().__init__()
        self.desk, self.item = desk, item

    def result(self, timeout: float | None = None) -> int:
        self.desk.open -= 1
        if self.item % 2:
            raise ValueError(f"odd {self.item}")
        return self.item


@pytest.mark.parametrize("in_flight", [1, 3, 100])
def test_every_task_is_heard_and_no_more_are_under_way_than_allowed(in_flight: int) -> None:
    desk = Desk()
    done, failed = gather({str(i): i for i in range(10)}, desk.start, in_flight=in_flight)
    assert done == {str(i): i for i in range(0, 10, 2)}
    assert list(failed) == ["1", "3", "5", "7", "9"]
    assert desk.most == min(in_flight, 10)
    assert desk.open == 0


def test_a_task_that_cannot_be_submitted_does_not_stop_the_others() -> None:
    desk = Desk()

    def start(item: int) -> Any:
        if item in (0, 4):
            raise OSError(f"no room for {item}")
        return desk.start(item)

    ends: dict[str, Any] = {}
    done, failed = gather({str(i): i for i in range(6)}, start, in_flight=2, on_result=ends.__setitem__)
    assert done == {"2": 2}
    assert {name: str(error) for name, error in failed.items()} == {
        "0": "no room for 0",
        "1": "odd 1",
        "3": "odd 3",
        "4": "no room for 4",
        "5": "odd 5",
    }
    assert ends == done | failed
    assert desk.open == 0


def test_failures_are_named_with_kind_and_reason() -> None:
    _, failed = gather({"a": 1, "b": 3}, Desk().start)
    assert format_failures(failed) == "a (ValueError: odd 1); b (ValueError: odd 3)"
