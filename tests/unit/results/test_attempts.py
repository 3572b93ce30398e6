"""Marks count strikes: what processes end in is found out, and innocent photos are not lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artbank.errors import ResultsError
from artbank.results import attempts, layout, ledger
from artbank.results.attempts import MAX_STRIKES, Attempt, Mark
from artbank.store.objects import Store

KEYS = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
FRESH = dict.fromkeys(KEYS, 0)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def output(store_uri: str) -> Store:
    return Store.open(store_uri)


def work(attempt: Attempt, poison: str | None, batch: Sequence[str] = KEYS) -> set[str]:
    """Do a batch of a shard; returns the photos done, or ends early where a process dies of one."""
    done: set[str] = set()
    for turn in attempt.groups(batch):
        if poison in turn:
            return done
        done |= turn
    return done


def test_a_photo_that_ends_every_process_is_lost_in_the_fifth_attempt_and_no_other(output: Store) -> None:
    seen = []
    for _ in range(5):
        attempt = attempts.start(output, "m-0", FRESH)
        seen.append([attempt.strikes(key) for key in ("b.jpg", "a.jpg")])
        done = work(attempt, "b.jpg")
    assert seen == [[0, 0], [1, 1], [2, 2], [3, 2], [MAX_STRIKES, 2]]
    assert done == {"a.jpg", "c.jpg", "d.jpg"}
    assert attempt.mark.number == 5


def test_a_photo_in_another_batch_than_the_poison_gets_one_strike_and_no_more(output: Store) -> None:
    for _ in range(5):
        attempt = attempts.start(output, "m-0", FRESH)
        work(attempt, "b.jpg", ["a.jpg", "b.jpg"])
    assert [attempt.strikes(key) for key in ("c.jpg", "d.jpg")] == [1, 1]


def test_what_was_given_back_counts_against_nobody(output: Store) -> None:
    attempts.start(output, "m-0", FRESH).release()
    attempt = attempts.start(output, "m-0", FRESH)
    assert (attempt.mark.floor, attempt.mark.number) == (0, 2)


def test_nothing_is_noted_while_nothing_went_wrong(output: Store) -> None:
    attempt = attempts.start(output, "m-0", FRESH)
    before = output.read("results/_begun-m-0")
    assert work(attempt, None) == set(KEYS)
    assert output.read("results/_begun-m-0") == before


def test_strikes_that_are_known_from_another_shard_count(output: Store) -> None:
    attempt = attempts.start(output, "n-0", {**FRESH, "c.jpg": 3})
    turns = list(attempt.groups(KEYS))
    assert turns == [{"a.jpg", "b.jpg", "d.jpg"}, {"c.jpg"}]
    assert (
        attempts.start(output, "n-0", FRESH).strikes("c.jpg") == MAX_STRIKES
    )  # it was noted alone, and that did not end


def test_a_shard_that_came_to_its_end_blames_nobody_if_its_commit_fails(output: Store) -> None:
    attempts.start(output, "m-0", FRESH)
    attempt = attempts.start(output, "m-0", FRESH)
    work(attempt, None)
    attempt.clear_current()
    assert attempts.start(output, "m-0", FRESH).strikes("a.jpg") == 1


def test_broken_off_are_the_shards_that_were_begun_and_have_no_part(output: Store) -> None:
    for shard in ("m-0", "m-1"):
        attempts.start(output, shard, FRESH, now=NOW)
    ledger.commit(output, "m-1", [])
    assert {shard: mark.begun_at for shard, mark in attempts.find_unfinished(output).items()} == {"m-0": NOW}
    attempts.delete_marks(output, ["m-0", "m-1"])
    assert attempts.find_unfinished(output) == {}


def test_rows_are_younger_than_what_was_there_whatever_the_clock_says(output: Store) -> None:
    later = NOW + timedelta(days=9999)
    attempt = attempts.start(output, "m-0", FRESH, after=later)
    assert attempt.mark.begun_at > later and attempt.now() >= attempt.mark.begun_at
    on_time = attempts.start(output, "m-1", FRESH, after=NOW - timedelta(days=9999), now=NOW)
    assert on_time.mark.begun_at == NOW


@given(
    st.builds(
        Mark,
        st.datetimes(timezones=st.just(UTC)),
        st.integers(1, 9),
        st.integers(0, 1),
        st.dictionaries(st.text(), st.integers(2, 4)),
        st.lists(st.text()),
        st.booleans(),
    )
)
def test_a_mark_is_read_as_it_was_written(mark: Mark) -> None:
    assert Mark.from_bytes(mark.to_bytes()) == mark


def test_a_mark_whose_time_has_no_zone_is_damaged(output: Store) -> None:
    key = layout.mark_key("m-0")
    output.write(key, Mark(NOW).to_bytes().replace(b"Z", b""))
    for look in (lambda: attempts.start(output, "m-0", FRESH, after=NOW), lambda: attempts.find_unfinished(output)):
        with pytest.raises(ResultsError, match="should be the start mark of a shard, but cannot be read .*timezone"):
            look()
