"""Shards that fail one after the other end a round: an outage is neither tried nor logged shard by shard."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from artbank.errors import BankError
from artbank.results.manifest import Shard
from artbank.runs import rounds
from artbank.runs.progress import RunProgress
from artbank.runs.rounds import count_in_flight, run_shards

NUM_SHARDS = 400


class Store:
    """A store that refuses shards as long as `find_error` returns an error for the number of shards begun so far."""

    def __init__(self, find_error: Callable[[int], Exception | None]):
        self.find_error = find_error
        self.begun: list[str] = []
        self.parts: set[str] = set()

    def start(self, shards: Sequence[Shard]) -> Future[None]:
        future: Future[None] = Future()
        [shard] = shards
        self.begun.append(shard.id)
        if error := self.find_error(len(self.begun)):
            future.set_exception(error)
        else:
            self.parts.add(shard.id)
            future.set_result(None)
        return future

    def run(self) -> dict[str, Exception]:
        return run_shards(
            [Shard(f"m-{number:03d}", number, 64) for number in range(NUM_SHARDS)],
            self.start,
            RunProgress("picture", NUM_SHARDS * 64),
            find_uncommitted=lambda ids: set(ids) - self.parts,
            read_tallies=lambda ids: {},
            in_flight=count_in_flight(1),
        )


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds between rounds, which pass at once."""
    waited: list[float] = []
    monkeypatch.setattr(rounds, "time", SimpleNamespace(sleep=waited.append))  # not that of other threads
    return waited


def test_an_outage_that_lasts_ends_the_run_after_some_shards_of_each_round(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(lambda number: ConnectionError("the store is away"))
    with caplog.at_level(logging.WARNING, logger="artbank"):
        failed = store.run()
    assert len(failed) == NUM_SHARDS
    assert len(store.begun) <= 32 * rounds.MAX_ROUNDS
    assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0]
    assert len(caplog.records) <= 12 * rounds.MAX_ROUNDS
    assert "shards were not begun in round 1, since those before them failed" in caplog.text
    assert str(failed["m-000"]) == "the store is away"
    assert str(failed["m-399"]) == "not begun, since the shards before it failed"


def test_after_an_outage_all_shards_are_done(pauses: list[float]) -> None:
    store = Store(lambda number: ConnectionError("the store is away") if 50 < number < 100 else None)
    assert store.run() == {}
    assert len(store.parts) == NUM_SHARDS
    assert pauses == [30.0, 60.0]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space is left"), BankError("the bank is damaged")])
def test_what_a_further_round_cannot_do_ends_the_run(error: Exception, pauses: list[float]) -> None:
    store = Store(lambda number: error)
    assert len(store.run()) == NUM_SHARDS
    assert len(store.begun) <= 32
    assert pauses == []


def test_a_broken_device_is_tried_in_two_rounds(pauses: list[float]) -> None:
    store = Store(lambda number: RuntimeError("an illegal memory access"))
    assert len(store.run()) == NUM_SHARDS
    assert len(store.begun) <= 64
    assert pauses == [30.0]


def test_failures_among_shards_that_are_done_end_nothing(pauses: list[float]) -> None:
    store = Store(lambda number: RuntimeError("a photo") if number <= NUM_SHARDS and number % 16 else None)
    store.run()
    assert len(set(store.begun)) == NUM_SHARDS
    assert pauses == []
