"""While one shard is drawn the next is read and decoded, within the bounds of one shard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from artbank.archive import local_run
from artbank.archive.shard_turns import ShardTurns, SharedWindow
from artbank.errors import StopRequested
from artbank.images.codec import Picture, decode, encode, resize
from artbank.runtime import telemetry
from artbank.store.objects import Store
from artbank.stylization.stylizer import Stylizer
from tests.support.shards import asked, rows
from tests.support.small_inputs import draw_photo
from tests.support.waiting import wait_for

NUM_SHARDS, SHARD_SIZE, BATCH = 8, 12, 4
READ_SECONDS, DRAW_SECONDS = 0.3, 0.4


def never() -> bool:
    return False


@pytest.fixture
def mixed(tmp_path: Path) -> Store:
    """An archive of three sizes, in turn."""
    sizes = ((96, 64), (64, 96), (64, 64))
    whole = [decode(draw_photo(seed), max_pixels=10**6).rgb for seed in range(3)]
    files = [encode(Picture(resize(rgb, *size)), ".jpg", quality=92) for rgb, size in zip(whole, sizes, strict=True)]
    store = Store.open(str(tmp_path / "photos"))
    store.write_many({f"{i:03}.jpg": files[i % 3] for i in range(NUM_SHARDS * SHARD_SIZE)})
    return store


@pytest.mark.faults  # measures seconds; the test below sees the same order of work without a clock
def test_the_model_does_not_wait_between_shards(mixed: Store, shelf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, read, spans = Stylizer.stylize_batch, Store.read_listed, list[tuple[float, float]]()

    def draw_slowly(self: Stylizer, *args: Any) -> Iterator[Any]:
        start = time.monotonic()
        made = list(draw(self, *args))
        time.sleep(max(start + DRAW_SECONDS - time.monotonic(), 0))
        yield from made

    def read_slowly(self: Store, sizes: Any, *args: Any) -> Any:
        if self.uri == mixed.uri:
            time.sleep(READ_SECONDS)
        return read(self, sizes, *args)

    @contextmanager
    def note_time(stage: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        if stage in ("draw", "score"):
            spans.append((start, time.monotonic()))

    monkeypatch.setattr(Stylizer, "stylize_batch", draw_slowly)
    monkeypatch.setattr(Store, "read_listed", read_slowly)
    monkeypatch.setattr(telemetry, "time_stage", note_time)
    config = asked(mixed, shelf, batch_size=BATCH, shard_size=SHARD_SIZE)
    local_run.stylize_archive(config)
    assert len(rows(config)) == NUM_SHARDS * SHARD_SIZE
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False)), "one shard at a time"
    idle = 1 - sum(end - start for start, end in spans) / (spans[-1][1] - spans[0][0])
    assert idle <= 0.05, f"{idle:.1%}"


def test_a_shard_reads_after_the_one_before_and_draws_after_it() -> None:
    turns, events, may_end = ShardTurns(), list[str](), Event()

    def work(name: str) -> None:
        with turns.open(never) as turn:
            events.append(f"{name} reads")
            turn.end_reading()
            if name == "1":
                wait_for(lambda: "2 reads" in events)
            turn.wait_for_model()
            events.append(f"{name} draws")
            may_end.wait(60)

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(work, "1")
        wait_for(lambda: "1 reads" in events)
        others = [threads.submit(work, name) for name in "23"]
        wait_for(lambda: "1 draws" in events)
        assert not any(event in events for event in ("2 draws", "3 draws"))
        may_end.set()
        for one in (first, *others):
            one.result(60)
    drawn = [event[0] for event in events if "draws" in event]
    assert drawn == [event[0] for event in events if "reads" in event]


def test_a_shard_that_fails_lets_the_next_one_through() -> None:
    turns = ShardTurns()
    with pytest.raises(OSError, match="gone"), turns.open(never):
        raise OSError("gone")
    with turns.open(never) as turn:
        turn.wait_for_model()


def test_a_shard_that_is_asked_to_stop_does_not_wait_for_its_turn() -> None:
    turns = ShardTurns()
    with turns.open(never) as first, pytest.raises(StopRequested), turns.open(lambda: True):
        pass
    with turns.open(never) as first:
        first.end_reading()
        with turns.open(lambda: True) as second, pytest.raises(StopRequested):
            second.wait_for_model()


def test_two_shards_share_the_bounds_of_what_waits() -> None:
    window = SharedWindow(3, 100)
    with window.open(never) as first, window.open(lambda: True) as second:
        taken = [first(weight, lambda: lambda: "done") for weight in (30, 30)]
        with pytest.raises(StopRequested):
            second(50, lambda: lambda: "too heavy")
        taken.append(second(40, lambda: lambda: "done"))
        with pytest.raises(StopRequested):
            second(0, lambda: lambda: "too many")
        assert taken[0]() == "done"
        assert second(0, lambda: lambda: "fits")() == "fits"
    with window.open(never) as later:  # what the others never took waits no more
        assert later(1000, lambda: lambda: "alone")() == "alone"
