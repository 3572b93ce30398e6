"""Start marks of shards. A mark without a part means that a worker was killed or failed, or is still at work.

A photo that crashes its worker, or that the model fails on (a poison photo), would fail its shard on every retry. So
the mark counts strikes against photos, and each new attempt at an unfinished shard is more careful:

    strikes  where the photo was              what the next attempt does with it
    0        in no attempt that failed        nothing special
    1        in an unfinished shard           notes each batch in the mark before it draws it
    2, 3     in a noted batch, or alone       draws it alone: same batch, blank photos in place of the others
    4        alone, twice                     quarantines it: the photo gets a failed row

Batches keep their composition all the time, so the pictures of the other photos keep their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from artbank.errors import ResultsError
from artbank.results.layout import MARK_PREFIX, PARTS, mark_key, part_name
from artbank.store.objects import Store

MAX_STRIKES = 4
"""Strikes that put a photo into quarantine: it is not tried again."""

_STRIKES_TO_ISOLATE = 2
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Mark:
    """One attempt at a shard.

    Attributes:
        begun_at: When the attempt started.
        number: Attempts so far, including this one.
        floor: Strikes against every photo that `strikes` does not name.
        strikes: Strikes against single photos, by key.
        at: Keys of the photos that are being drawn, if the attempt notes them.
        is_given_back: Whether the worker itself ended the attempt and released the shard.
        error: The newest error that ended an attempt and left its process alive; empty without one.
        is_forgiven: Whether strikes from before this mark no longer count: no photo was at fault.
    """

    begun_at: AwareDatetime
    number: int = 1
    floor: int = 0
    strikes: Mapping[str, int] = field(default_factory=dict)
    at: Sequence[str] = ()
    is_given_back: bool = False
    error: str = ""
    is_forgiven: bool = False

    def count_strikes(self, key: str, earlier: int = 0) -> int:
        """Return the strikes against a photo that the next attempt starts with.

        Args:
            key: The photo.
            earlier: Its strikes in shards of earlier runs.
        """
        known = max(self.strikes.get(key, 0), self.floor)
        if not self.is_given_back:
            known = max(known, 1) + (key in self.at)
        return known if self.is_forgiven else max(known, earlier)

    def to_bytes(self) -> bytes:
        """Return the mark as JSON."""
        return _FORMAT.dump_json(self)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "it") -> Mark:
        """Parse a mark; errors call it `name`.

        Raises:
            ResultsError: The mark is damaged.
        """
        try:
            return _FORMAT.validate_json(data)
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            raise ResultsError(
                f"{name} should be the start mark of a shard, but cannot be read ({why}); "
                "delete it, then let `artbank verify --repair` find pictures that were overwritten"
            ) from error


_FORMAT = TypeAdapter(Mark)


class Attempt:
    """This process's attempt at a shard; keeps the mark in the store up to date."""

    def __init__(self, output: Store, shard_id: str, mark: Mark):
        """Wrap a mark that is in the store; `start` writes one."""
        self.mark = mark
        self._output = output
        self._key = mark_key(shard_id)

    def strikes(self, key: str) -> int:
        """Return the strikes against a photo."""
        return max(self.mark.strikes.get(key, 0), self.mark.floor)

    @property
    def is_careful(self) -> bool:
        """Whether an earlier attempt at these photos went wrong."""
        return self.mark.number > 1 or self.mark.floor > 0 or bool(self.mark.strikes)

    @property
    def is_on_suspect(self) -> bool:
        """Whether one photo is being drawn alone, because earlier attempts failed on it or on others beside it."""
        return len(self.mark.at) == 1 and self.strikes(self.mark.at[0]) >= _STRIKES_TO_ISOLATE

    def now(self) -> datetime:
        """Return the time for a row: this machine's clock, but never before the start of the attempt."""
        return max(datetime.now(UTC), self.mark.begun_at)

    def groups(self, keys: Sequence[str]) -> Iterator[set[str]]:
        """Split a batch into the photos that may be drawn together; note each group in the mark if need be.

        Photos with two or three strikes come alone, quarantined ones not at all.
        """
        trusted = {key for key in keys if self.strikes(key) < _STRIKES_TO_ISOLATE}
        suspects = [key for key in keys if _STRIKES_TO_ISOLATE <= self.strikes(key) < MAX_STRIKES]
        for group in (trusted, *({key} for key in suspects)):
            if group:
                if self.mark.floor or self.mark.strikes:
                    self._write(replace(self.mark, at=sorted(group)))
                yield group

    def clear_current(self) -> None:
        """Note in the mark that no photo is being drawn any more."""
        if self.mark.at:
            self._write(replace(self.mark, at=()))

    def release(self) -> None:
        """End the attempt without a part, so that another worker may start: no photo gets a strike."""
        self._write(replace(self.mark, at=(), is_given_back=True))

    def forgive(self) -> None:
        """End the attempt without a part, and take back all strikes: no photo was at fault."""
        self._write(replace(self.mark, floor=0, strikes={}, at=(), is_given_back=True, is_forgiven=True))

    def note_error(self, error: str) -> None:
        """Note in the mark which error ends the attempt, while the process goes on."""
        self._write(replace(self.mark, error=error))

    def _write(self, mark: Mark) -> None:
        self.mark = mark
        self._output.write(self._key, mark.to_bytes())


def start(
    output: Store,
    shard_id: str,
    strikes: Mapping[str, int],
    *,
    after: datetime | None = None,
    now: datetime | None = None,
) -> Attempt:
    """Write the start mark of a shard, before any picture of the shard may overwrite an older one.

    Args:
        output: Where the results are.
        shard_id: The shard.
        strikes: Known strikes against each of the shard's photos, by key.
        after: The attempt must be newer than this time, whatever this machine's clock says.
        now: This machine's time, for tests.

    Raises:
        ResultsError: The mark of an earlier attempt is damaged.
    """
    try:
        last = Mark.from_bytes(output.read(mark_key(shard_id)), output.uri_of(mark_key(shard_id)))
    except FileNotFoundError:
        last = Mark(datetime.min.replace(tzinfo=UTC), number=0, is_given_back=True)
    counted = {key: last.count_strikes(key, earlier) for key, earlier in strikes.items()}
    floor = min(counted.values(), default=0)
    raised = {key: count for key, count in counted.items() if count > floor}
    begun_at = now or datetime.now(UTC)
    if after is not None:
        begun_at = max(begun_at, after + _TICK)
    mark = Mark(begun_at, last.number + 1, floor, raised, error=last.error, is_forgiven=last.is_forgiven)
    output.write(mark_key(shard_id), mark.to_bytes())
    return Attempt(output, shard_id, mark)


def find_unfinished(output: Store) -> dict[str, Mark]:
    """Return the marks of shards that were started and have no part, by shard id.

    Raises:
        ResultsError: A mark is damaged.
    """
    return find_marks(output)[0]


def find_marks(output: Store) -> tuple[dict[str, Mark], list[str]]:
    """Return the marks of unfinished shards, and the ids of finished shards that still have a mark.

    The latter exist where a worker was killed after it had written the part and before it deleted
    the mark.

    Raises:
        ResultsError: A mark of an unfinished shard is damaged.
    """
    parts = output.child(PARTS)
    names = {stored.key for stored in parts.list()}
    shards = {name: name.removeprefix(MARK_PREFIX) for name in names if name.startswith(MARK_PREFIX)}
    unfinished = [name for name, shard_id in shards.items() if part_name(shard_id) not in names]
    marks = {}
    for name, data in parts.read_many(unfinished).items():
        if isinstance(data, bytes):
            marks[shards[name]] = Mark.from_bytes(data, parts.uri_of(name))
        elif not isinstance(data, FileNotFoundError):  # that shard was finished since the listing
            raise data
    return marks, sorted(shards[name] for name in shards.keys() - set(unfinished))


def delete_marks(output: Store, shard_ids: Iterable[str]) -> None:
    """Delete the marks of shards."""
    output.delete_many([mark_key(shard_id) for shard_id in shard_ids])
