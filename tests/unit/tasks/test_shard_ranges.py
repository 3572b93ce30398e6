"""Cutting the shards of a run into ranges."""

from __future__ import annotations

import pytest

from artbank.results.manifest import Shard
from artbank_prefect.tasks.shard_ranges import cut_ranges


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
