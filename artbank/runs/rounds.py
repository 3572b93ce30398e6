"""Do the shards of a run, range by range, and failed ones again in further rounds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from artbank.errors import ArtbankError
from artbank.runs.gather import IN_FLIGHT, Future, format_error, gather
from artbank.runs.outcome import Tally
from artbank.runs.progress import RunProgress
from artbank.store.transient_errors import is_of_store, is_transient

logger = logging.getLogger(__name__)

MAX_ROUNDS = 6
"""A poison photo is identified in the fourth attempt at its shard, see `artbank.results.attempts`."""

SHARDS_AT_ONCE = 2
"""Shards that a worker has begun: one is drawn, the next is read and decoded meanwhile."""

_MAX_RETRIED = 16  # shards; if more than these fail twice, the cause is not a photo, so further rounds will not help
_MAX_IN_A_ROW = 16  # ranges; if these fail one after the other, no more are begun in this round
_MAX_NAMED = 10  # failed shards that a round logs
_PAUSE_SECONDS = 30.0  # before the second round where ranges failed in a row; twice as long before each further one


class NotBegunError(Exception):
    """A shard was not begun in a round, since the ranges before it failed one after the other."""


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
    in_flight: int = IN_FLIGHT,
    max_rounds: int = MAX_ROUNDS,
) -> dict[str, Exception]:
    """Do all shards, failed ones again in further rounds, and record what they did.

    Where many ranges fail one after the other, as in an outage, the round begins no more. The next round comes after a
    pause, if the errors may heal.

    Args:
        shards: The shards of the run.
        start: Starts the work on a range of shards.
        progress: Gets the tally of every shard that has a part in the end.
        find_uncommitted: Returns those ids whose shard has no part in the output.
        read_tallies: Returns the tallies of those ids whose shard has a part: for shards that report none.
        range_size: As `size` of `cut_ranges`.
        in_flight: Ranges that are submitted and not done, at most; see `count_in_flight`.
        max_rounds: Number of rounds, at most.

    Returns:
        The errors of the shards without a part, by id.
    """

    def run_round(remaining: Collection[Shard]) -> dict[str, Exception]:
        ranges = cut_ranges(remaining, range_size)
        streak = _Streak()

        def start_unless_all_fail(shards: Sequence[Shard]) -> Future:
            streak.check()
            return start(shards)

        def record(name: str, end: object) -> None:
            streak.record(end)
            progress.record_end(name, end)

        _, failed = gather(ranges, start_unless_all_fail, in_flight=in_flight, on_result=record)
        return {shard.id: error for name, error in failed.items() for shard in ranges[name]}

    failed = run_rounds(shards, run_round, find_uncommitted, max_rounds=max_rounds)
    progress.record_tallies(read_tallies({shard.id for shard in shards} - progress.tallies.keys()))
    return failed


def count_in_flight(num_workers: int) -> int:
    """Return how many ranges to submit ahead to a fixed number of workers: enough that none waits for a slow one.

    More would be a loss while the store is down: each range that is submitted is tried, and fails.
    """
    return min(8 * SHARDS_AT_ONCE * num_workers, IN_FLIGHT)


class _Streak:
    """Counts the ranges that fail one after the other, without a success between them."""

    def __init__(self) -> None:
        self._number = 0

    def record(self, end: object) -> None:
        """Count the end of a range: its result, or its error."""
        if not isinstance(end, NotBegunError):
            self._number = self._number + 1 if isinstance(end, Exception) else 0

    def check(self) -> None:
        """Raise NotBegunError if too many have failed."""
        if self._number >= _MAX_IN_A_ROW:
            raise NotBegunError("not begun, since the shards before it failed")


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
    run_round: Callable[[Collection[Shard]], Mapping[str, Exception]],
    find_uncommitted: Callable[[list[str]], set[str]],
    *,
    max_rounds: int = MAX_ROUNDS,
) -> dict[str, Exception]:
    """Do all shards, and failed ones again in further rounds.

    Whether a shard is done is read from the store: a worker may die after it wrote the part.

    Args:
        shards: The shards of the run.
        run_round: Does shards, and returns the errors of those that failed, by id.
        find_uncommitted: Returns those ids whose shard has no part in the output.
        max_rounds: Number of rounds, at most.

    Returns:
        The errors of the shards without a part, by id.
    """
    remaining = {shard.id: shard for shard in shards}
    failed: dict[str, Exception] = {}
    for round_number in range(1, max_rounds + 1):
        errors = run_round(remaining.values())
        uncommitted = find_uncommitted(list(errors)) if errors else set()
        for shard_id in remaining:  # every shard of this round
            failed.pop(shard_id, None)
        failed |= {shard_id: error for shard_id, error in errors.items() if shard_id in uncommitted}
        remaining = {shard_id: remaining[shard_id] for shard_id in uncommitted if _may_succeed_later(errors[shard_id])}
        to_retry = {name: failed[name] for name in remaining if not isinstance(failed[name], NotBegunError)}
        num_not_begun = len(remaining) - len(to_retry)
        _log_failures(to_retry, num_not_begun, round_number)
        is_last_round = round_number == max_rounds
        if not remaining or is_last_round or _will_fail_again(to_retry, num_not_begun, round_number):
            break
        if num_not_begun:
            _pause(_PAUSE_SECONDS * 2 ** (round_number - 1))
    return failed


def _will_fail_again(errors: Mapping[str, Exception], num_not_begun: int, round_number: int) -> bool:
    """Return whether a further round would fail as well.

    Args:
        errors: The errors of the shards that the round began and the next may do again, by id.
        num_not_begun: Number of shards that the round did not begin.
        round_number: Number of the round, from 1. Errors of the first may come from a worker that died; others can do
            its shards.
    """
    is_first_round = round_number == 1
    if not num_not_begun:
        return not is_first_round and len(errors) > _MAX_RETRIED
    if not errors:
        return True
    return not is_first_round and not any(is_transient(error) for error in errors.values())


def _may_succeed_later(error: Exception) -> bool:
    """Return whether a further round may do what failed: artbank has named a cause, or the store refuses for good."""
    return not isinstance(error, ArtbankError) and (not is_of_store(error) or is_transient(error))


def _log_failures(errors: Mapping[str, Exception], num_not_begun: int, round_number: int) -> None:
    """Log the failures of a round: some by name, and how many more there are."""
    for shard_id, error in list(errors.items())[:_MAX_NAMED]:
        logger.warning("shard %s failed in round %d: %s", shard_id, round_number, format_error(error))
    if len(errors) > _MAX_NAMED:
        logger.warning("%d more shards failed in round %d", len(errors) - _MAX_NAMED, round_number)
    if num_not_begun:
        logger.warning(
            "%d shards were not begun in round %d, since those before them failed", num_not_begun, round_number
        )


def _pause(seconds: float) -> None:
    logger.info("the next round begins in %g s", seconds)
    time.sleep(seconds)
