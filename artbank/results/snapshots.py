"""The ledger in few objects: a snapshot holds the rows of several hundred parts.

    <output>/results/_snapshots/<hash>.parquet     their rows, and in its metadata their names, etags and lengths

A snapshot follows from its parts and is a short cut, never the truth: a part's rows are taken from one only while the
store lists the part with the etag that it had then. Without snapshots, or with damaged ones, the parts are read.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa

from artbank.errors import ResultsError
from artbank.records import Result
from artbank.store.objects import Store
from artbank.store.parquet import cast_to_schema, read_schema, read_table, table_bytes_by_row_group

logger = logging.getLogger(__name__)

_FOLDER = "_snapshots/"  # readers of Parquet folders leave names with an underscore out
_PARTS = b"artbank.parts"
_PARTS_AT_ONCE = 512  # in a snapshot, and read together where there is none
_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Inventory:
    """What lies in the folder of the parts.

    Attributes:
        etags: Those of the parts by their names, sorted.
        snapshots: Keys of the snapshots, sorted.
    """

    etags: dict[str, str]
    snapshots: tuple[str, ...]


@dataclass(frozen=True)
class Collected:
    """The rows of all parts.

    Attributes:
        inventory: What they were read from.
        rows: In the order of the parts' names.
        loose: The rows of each part that was read itself, by its name, sorted.
        unused: Keys of the snapshots that stood for no part.
    """

    inventory: Inventory
    rows: pa.Table
    loose: dict[str, pa.Table]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class _Span:
    """Rows of a table that are those of one part, or of several that follow one another."""

    table: pa.Table
    start: int
    length: int

    def before(self, other: _Span) -> bool:
        return other.table is self.table and other.start == self.start + self.length


def take_inventory(parts: Store) -> Inventory:
    """List the parts and the snapshots."""
    listed = parts.list()
    etags = {stored.key: stored.etag for stored in listed if _is_part(stored.key)}
    return Inventory(etags, tuple(stored.key for stored in listed if stored.key.startswith(_FOLDER)))


def collect(parts: Store, schema: pa.Schema, columns: Sequence[str] | None = None) -> Collected:
    """Read the rows of all parts, out of snapshots where these stand for them.

    Args:
        parts: The folder of the parts.
        schema: That of `Result`, or one with the same columns, some of them as dictionaries.
        columns: Names of it to read; all when None.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    inventory, unused = take_inventory(parts), []
    spans: dict[str, _Span] = {}
    for key in inventory.snapshots:
        held = {
            name: span
            for (name, etag), span in _read_snapshot(parts, key, schema, columns).items()
            if inventory.etags.get(name) == etag and name not in spans
        }
        spans |= held
        if not held:
            unused.append(key)
    loose = _read_parts(parts, [name for name in inventory.etags if name not in spans], schema, columns)
    spans |= {name: _Span(table, 0, len(table)) for name, table in loose.items()}
    rows = pa.concat_tables([_no_rows(schema, columns), *_join(spans[name] for name in inventory.etags)])
    return Collected(inventory, rows, loose, tuple(unused))


def compact(parts: Store, collected: Collected) -> None:
    """Write snapshots of the parts that have none, as far as they fill one, and delete those that stand for no part.

    Several may do so at once: what one deletes while another reads costs that one the reading of the parts.

    Args:
        parts: The folder of the parts.
        collected: Its rows, in all columns.
    """
    parts.delete_many(collected.unused)
    loose = list(collected.loose)
    for start in range(0, len(loose) - _PARTS_AT_ONCE + 1, _PARTS_AT_ONCE):
        names = loose[start : start + _PARTS_AT_ONCE]
        facts = [(name, collected.inventory.etags[name], len(collected.loose[name])) for name in names]
        schema = Result.SCHEMA.with_metadata({_PARTS: json.dumps(facts).encode()})
        rows = pa.concat_tables(collected.loose[name] for name in names)
        data = table_bytes_by_row_group(rows, schema, _ROWS_AT_ONCE)
        parts.create(f"{_FOLDER}{_hash(data)}.parquet", data)


def _read_snapshot(
    parts: Store, key: str, schema: pa.Schema, columns: Sequence[str] | None
) -> dict[tuple[str, str], _Span]:
    """Return the rows of each part, by its name and etag, that a snapshot stands for: of none where it cannot serve."""
    try:
        data = parts.read(key)
    except FileNotFoundError:  # another run deleted it since it was listed
        return {}
    if key != f"{_FOLDER}{_hash(data)}.parquet":
        logger.warning("%s is damaged; the parts that it stands for are read instead", parts.uri_of(key))
        return {}
    written = read_schema(data)
    if not {*Result.SCHEMA.names} <= {*written.names}:  # by a version that did not know some columns
        return {}
    table, facts = read_table(data, schema, columns), json.loads((written.metadata or {})[_PARTS])
    starts = accumulate([0, *(length for *_, length in facts[:-1])])
    spans = zip(facts, starts, strict=True)
    return {(name, etag): _Span(table, start, length) for (name, etag, length), start in spans}


def _join(spans: Iterable[_Span]) -> list[pa.Table]:
    """Return the rows of some spans in as few tables as may be: each costs as much as many rows."""
    runs: list[_Span] = []
    for span in spans:
        if runs and runs[-1].before(span):
            runs[-1] = _Span(span.table, runs[-1].start, runs[-1].length + span.length)
        else:
            runs.append(span)
    return [run.table.slice(run.start, run.length) for run in runs]


def _read_parts(
    parts: Store, names: Sequence[str], schema: pa.Schema, columns: Sequence[str] | None
) -> dict[str, pa.Table]:
    tables: dict[str, pa.Table] = {}
    for start in range(0, len(names), _PARTS_AT_ONCE):
        for name, data in parts.read_many(names[start : start + _PARTS_AT_ONCE]).items():
            tables[name] = _parse(parts, name, data, schema, columns)
    return tables


def _parse(
    parts: Store, name: str, data: bytes | Exception, schema: pa.Schema, columns: Sequence[str] | None
) -> pa.Table:
    if isinstance(data, Exception):
        raise data
    try:
        return read_table(data, schema, columns)
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(
            f"{parts.uri_of(name)} should be a shard's part, but cannot be read ({error}); "
            "delete it and run again, which stylizes its photos anew"
        ) from error


def _no_rows(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
    return cast_to_schema(schema.empty_table(), schema, columns)


def _is_part(name: str) -> bool:
    return name.startswith("part-") and name.endswith(".parquet")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
