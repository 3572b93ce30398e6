"""The shards of a run: cut into ranges, done, done again where they failed, and counted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future

import pytest

from artbank.results.manifest import Shard
from artbank.runs.outcome import Tally
from artbank.runs.progress import RunProgress
from artbank.runs.rounds import cut_ranges, run_shards


def numbers(size: int, *shards: int) -> list[list[int]]:
    ranges = cut_ranges([Shard(f"m-{n}", n, 64) for n in shards], size)
    assert list(ranges) == [f"m-{found[0].row_group}" for found in ranges.values()]
    return [[shard.row_group for shard in found] for found in ranges.values()]


@pytest.mark.parametrize(
    ("size", "shards", "ranges"),
    [
        (2, (0, 1, 2, 3, 4), [[0, 1], [2, 3], [4]]),
        (1, (0, 1, 2), [[0], [1], [2]]),
        (9, (0, 1, 2), [[0, 1, 2]]),
        (4, (7, 3, 0, 2), [[0, 2, 3], [7]]),
        (3, (1, 3, 4), [[1, 3], [4]]),
        (3, (), []),
    ],
)
def test_a_range_spans_no_more_shards_than_a_flow_run_takes(
    size: int, shards: tuple[int, ...], ranges: list[list[int]]
) -> None:
    assert numbers(size, *shards) == ranges


class Place:
    """An output: shards get their part in a range, but those of `faults` fail as often as it says."""

    def __init__(self, faults: dict[str, int]):
        self.faults = faults
        self.parts: set[str] = set()
        self.started: list[list[str]] = []

    def start(self, shards: Sequence[Shard]) -> Future[None]:
        """Do a range; no shard of it after one that fails."""
        self.started.append([shard.id for shard in shards])
        future: Future[None] = Future()
        for shard in shards:
            if self.faults.get(shard.id, 0):
                self.faults[shard.id] -= 1
                future.set_exception(RuntimeError(f"{shard.id} fell"))
                return future
            self.parts.add(shard.id)
        future.set_result(None)
        return future

    def find_uncommitted(self, ids: list[str]) -> set[str]:
        return set(ids) - self.parts

    def read_tallies(self, ids: Collection[str]) -> dict[str, Tally]:
        return {name: Tally(done=64) for name in self.parts & set(ids)}

    def run(self, max_rounds: int) -> tuple[dict[str, Exception], RunProgress]:
        progress = RunProgress("picture", 5 * 64)
        shards = [Shard(f"m-{number}", number, 64) for number in range(5)]
        failed = run_shards(
            shards,
            self.start,
            progress,
            find_uncommitted=self.find_uncommitted,
            read_tallies=self.read_tallies,
            range_size=2,
            max_rounds=max_rounds,
        )
        return failed, progress


def test_only_the_shards_of_a_failed_range_that_have_no_part_are_done_again() -> None:
    place = Place({"m-1": 1, "m-2": 1})
    failed, progress = place.run(max_rounds=3)
    assert failed == {}
    assert place.started == [["m-0", "m-1"], ["m-2", "m-3"], ["m-4"], ["m-1", "m-2"], ["m-3"]]
    assert progress.done == 5 * 64


def test_a_shard_without_a_part_in_the_end_keeps_its_error_and_the_others_count() -> None:
    failed, progress = Place({"m-3": 9}).run(max_rounds=2)
    assert {name: str(error) for name, error in failed.items()} == {"m-3": "m-3 fell"}
    assert progress.done == 4 * 64
