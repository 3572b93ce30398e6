"""Do the shards of a run, range by range, and failed ones again in further rounds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from artbank.errors import ArtbankError
from artbank.runs.gather import Future, format_error, gather
from artbank.runs.outcome import Tally
from artbank.runs.progress import RunProgress

logger = logging.getLogger(__name__)

MAX_ROUNDS = 6
"""A poison photo is identified in the fourth attempt at its shard, see `artbank.results.attempts`."""

SHARDS_AT_ONCE = 2
"""Shards that a worker has begun: one is drawn, the next is read and decoded meanwhile."""

_MAX_RETRIED = 16  # shards; if more than these fail twice, the cause is not a photo, so further rounds will not help


class Numbered(Protocol):
    """A shard: its id, and its number in the run, from 0."""

    @property
    def id(self) -> str: ...

    @property
    def row_group(self) -> int: ...


Shard = TypeVar("Shard", bound=Numbered)


def run_shards(
    shards: Sequence[Shard],
    start: Callable[[Sequence[Shard]], Future],
    progress: RunProgress,
    *,
    find_uncommitted: Callable[[list[str]], set[str]],
    read_tallies: Callable[[Collection[str]], Mapping[str, Tally]],
    range_size: int = 1,
    max_rounds: int = MAX_ROUNDS,
) -> dict[str, Exception]:
    """Do all shards, failed ones again in further rounds, and record what they did.

    Args:
        shards: The shards of the run.
        start: Starts the work on a range of shards.
        progress: Gets the tally of every shard that has a part in the end.
        find_uncommitted: Returns those ids whose shard has no part in the output.
        read_tallies: Returns the tallies of those ids whose shard has a part: for shards that report none.
        range_size: As `size` of `cut_ranges`.
        max_rounds: Number of rounds, at most.

    Returns:
        The errors of the shards without a part, by id.
    """

    def run(left: Collection[Shard]) -> dict[str, Exception]:
        ranges = cut_ranges(left, range_size)
        _, failed = gather(ranges, start, on_result=progress.record_end)
        return {shard.id: error for name, error in failed.items() for shard in ranges[name]}

    failed = run_rounds(shards, run, find_uncommitted, max_rounds=max_rounds)
    progress.record_tallies(read_tallies({shard.id for shard in shards} - progress.tallies.keys()))
    return failed


def cut_ranges(shards: Iterable[Shard], size: int) -> dict[str, list[Shard]]:
    """Cut a run's shards into ranges, each under the id of its first.

    Args:
        shards: Those to do; others of the run, which are done, may lie between them.
        size: Shards from the first to the last of a range at most, those between included.
    """
    ranges: dict[str, list[Shard]] = {}
    latest: list[Shard] = []
    for shard in sorted(shards, key=lambda shard: shard.row_group):
        if not latest or shard.row_group >= latest[0].row_group + size:
            latest = ranges[shard.id] = []
        latest.append(shard)
    return ranges


def run_rounds(
    shards: Sequence[Shard],
    run: Callable[[Collection[Shard]], Mapping[str, Exception]],
    find_uncommitted: Callable[[list[str]], set[str]],
    *,
    max_rounds: int = MAX_ROUNDS,
) -> dict[str, Exception]:
    """Do all shards, and failed ones again in further rounds.

    Whether a shard is done is read from the store: a worker may die after it wrote the part.

    Args:
        shards: The shards of the run.
        run: Does shards, and returns the errors of those that failed, by id.
        find_uncommitted: Returns those ids whose shard has no part in the output.
        max_rounds: Number of rounds, at most.

    Returns:
        The errors of the shards without a part, by id.
    """
    left = {shard.id: shard for shard in shards}
    failed: dict[str, Exception] = {}
    for number in range(max_rounds):
        raised = run(left.values())
        uncommitted = find_uncommitted(list(raised)) if raised else set()
        for name in left:  # every shard of this round
            failed.pop(name, None)
        failed |= {name: raised[name] for name in raised if name in uncommitted}
        left = {name: left[name] for name in uncommitted if not isinstance(raised[name], ArtbankError)}
        if not left or (number and len(left) > _MAX_RETRIED):
            break
        for name in left:
            logger.warning("shard %s failed in round %d: %s", name, number + 1, format_error(failed[name]))
    return failed
