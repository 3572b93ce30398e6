"""Do the shards of a run, and failed ones again in further rounds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from artbank.errors import ArtbankError
from artbank.runs.gather import format_error

logger = logging.getLogger(__name__)

MAX_ROUNDS = 6
"""A poison photo is identified in the fourth attempt at its shard, see `artbank.results.attempts`."""

SHARDS_AT_ONCE = 2
"""Shards that a worker has begun: one is drawn, the next is read and decoded meanwhile."""

_MAX_RETRIED = 16  # shards; if more than these fail twice, the cause is not a photo, so further rounds will not help


class Named(Protocol):
    """A shard, or whatever else has an id."""

    @property
    def id(self) -> str: ...


Shard = TypeVar("Shard", bound=Named)


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
