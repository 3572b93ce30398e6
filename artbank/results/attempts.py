"""Shards that were begun: who works on one leaves a mark; who finds one knows that somebody did not come to an end.

A photo of which processes die would take its shard with it again and again. So the mark counts strikes against photos,
and a shard that was broken off is done more and more carefully:

    strikes  was in                           what is done with it
    0        nothing that ended badly         nothing special
    1        a shard that was broken off      its batch is noted in the mark before it is begun
    2, 3     a noted batch, or alone          alone: in the same batch, with blank photos in place of the others
    4        alone, twice                     it is lost: a failed row

Batches keep their composition all the while, and so the other photos' pictures their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from artbank.errors import ResultsError
from artbank.results.layout import PARTS
from artbank.store.objects import Store

LOST = 4
"""Strikes after which a photo is not tried again."""

_BEGUN = "_begun-"  # readers of Parquet folders leave names with an underscore out
_ALONE = 2
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Mark:
    """One attempt at a shard.

    Attributes:
        begun_at: When it was begun.
        number: How many attempts there were, this one included.
        floor: Strikes against each photo that has no more.
        strikes: Strikes against single photos, by key.
        at: Keys of the photos that are worked on now, if that was noted.
        is_given_back: Whether the attempt was ended by whoever made it.
    """

    begun_at: datetime
    number: int = 1
    floor: int = 0
    strikes: Mapping[str, int] = field(default_factory=dict)
    at: Sequence[str] = ()
    is_given_back: bool = False

    def count_strikes(self, key: str) -> int:
        """Return the strikes against a photo for whoever comes after this attempt."""
        known = max(self.strikes.get(key, 0), self.floor)
        if self.is_given_back:
            return known
        return max(known, 1) + (key in self.at)

    def to_bytes(self) -> bytes:
        """Return the mark as JSON."""
        return _FORMAT.dump_json(self)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "it") -> Mark:
        """Read a mark; `name` is where it was.

        Raises:
            ResultsError: It is damaged.
        """
        try:
            mark = _FORMAT.validate_json(data)
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            raise ResultsError(
                f"{name} should be the mark of a shard that was begun, but cannot be read ({why}); "
                "delete it, then let `artbank verify --repair` find pictures that were written over"
            ) from error
        return mark


_FORMAT = TypeAdapter(Mark)


class Attempt:
    """This process's attempt at a shard; keeps its mark up to date."""

    def __init__(self, output: Store, shard_id: str, mark: Mark):
        """Use `begin` instead."""
        self.mark = mark
        self._output, self._key = output, _mark_key(shard_id)

    def strikes(self, key: str) -> int:
        """Return the strikes against a photo."""
        return max(self.mark.strikes.get(key, 0), self.mark.floor)

    @property
    def is_careful(self) -> bool:
        """Whether something went wrong with these photos before."""
        return self.mark.number > 1 or self.mark.floor > 0 or bool(self.mark.strikes)

    def now(self) -> datetime:
        """Return the time for a row: this machine's, but later than all that was known when the run was planned."""
        return max(datetime.now(UTC), self.mark.begun_at)

    def turns(self, keys: Sequence[str]) -> Iterator[set[str]]:
        """Yield which photos of a batch are done at a time, having noted them where that is called for."""
        suspects = [key for key in keys if _ALONE <= self.strikes(key) < LOST]
        for turn in ({key for key in keys if self.strikes(key) < _ALONE}, *({key} for key in suspects)):
            if turn:
                if self.mark.floor or self.mark.strikes:
                    self._write(replace(self.mark, at=sorted(turn)))
                yield turn

    def rest(self) -> None:
        """Note that no photo is worked on any more."""
        if self.mark.at:
            self._write(replace(self.mark, at=()))

    def give_back(self) -> None:
        """Say that nobody works on the shard any more, and that no photo is to blame."""
        self._write(replace(self.mark, at=(), is_given_back=True))

    def _write(self, mark: Mark) -> None:
        self.mark = mark
        self._output.write(self._key, mark.to_bytes())


def begin(
    output: Store,
    shard_id: str,
    strikes: Mapping[str, int],
    *,
    after: datetime | None = None,
    now: datetime | None = None,
) -> Attempt:
    """Leave a mark that a shard's pictures are about to be written, over older ones perhaps.

    Args:
        output: Where the results are.
        shard_id: The shard.
        strikes: What is known against its photos already; all of them, by key.
        after: What the attempt must be younger than, however this machine's clock is set.
        now: This machine's time, for tests.
    """
    try:
        last = Mark.from_bytes(output.read(_mark_key(shard_id)), output.uri_of(_mark_key(shard_id)))
    except FileNotFoundError:
        last = Mark(datetime.min.replace(tzinfo=UTC), number=0, is_given_back=True)
    counted = {key: max(known, last.count_strikes(key)) for key, known in strikes.items()}
    floor = min(counted.values(), default=0)
    raised = {key: count for key, count in counted.items() if count > floor}
    begun_at = now or datetime.now(UTC)
    if after is not None:
        begun_at = max(begun_at, after + _TICK)
    mark = Mark(begun_at, last.number + 1, floor, raised)
    output.write(_mark_key(shard_id), mark.to_bytes())
    return Attempt(output, shard_id, mark)


def broken_off(output: Store) -> dict[str, Mark]:
    """Return the marks of the shards that were begun and have no part.

    Raises:
        ResultsError: A mark is damaged.
    """
    return find_marks(output)[0]


def find_marks(output: Store) -> tuple[dict[str, Mark], list[str]]:
    """Return the marks of `broken_off`, and the ids of the shards whose part is there beside their mark.

    A process that is killed between its part and its mark leaves the latter.

    Raises:
        ResultsError: A mark is damaged.
    """
    parts = output.child(PARTS)
    names = {stored.key for stored in parts.list()}
    shards = {name: name.removeprefix(_BEGUN) for name in names if name.startswith(_BEGUN)}
    open_ones = [name for name, shard in shards.items() if f"part-{shard}.parquet" not in names]
    marks = {}
    for name, data in parts.read_many(open_ones).items():
        if isinstance(data, bytes):
            marks[shards[name]] = Mark.from_bytes(data, parts.uri_of(name))
        elif not isinstance(data, FileNotFoundError):  # that one was done while we looked
            raise data
    return marks, sorted(shards[name] for name in shards.keys() - set(open_ones))


def forget(output: Store, shard_ids: Iterable[str]) -> None:
    """Delete the marks of shards."""
    output.delete_many([_mark_key(shard_id) for shard_id in shard_ids])


def _mark_key(shard_id: str) -> str:
    return f"{PARTS}/{_BEGUN}{shard_id}"
