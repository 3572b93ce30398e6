"""The ledger in few objects: a snapshot holds the rows of several hundred parts.

    <output>/results/_snapshots/<hash>.parquet     the rows; its metadata has name, etag and row count of each part

Snapshots are a cache; the parts are the truth. Rows of a part come from a snapshot only while the
store lists the part with the etag that the snapshot noted. Without snapshots, or with damaged ones,
the parts are read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa
from more_itertools import chunked

from artbank.errors import ResultsError
from artbank.records.photo_records import Result
from artbank.results.layout import PART_PREFIX, PART_SUFFIX
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store
from artbank.store.parquet import cast_to_schema, read_schema, read_table, table_bytes_by_row_group

logger = logging.getLogger(__name__)

_FOLDER = "_snapshots/"
_PARTS = b"artbank.parts"
_PARTS_AT_ONCE = 512  # in a snapshot, and in one read
_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class PartListing:
    """The files in the folder of the parts.

    Attributes:
        etags: The etag of each part, by file name, sorted.
        snapshots: Keys of the snapshots, sorted.
        sizes: Bytes of each part, by file name.
    """

    etags: dict[str, str]
    snapshots: tuple[str, ...]
    sizes: dict[str, int]


@dataclass(frozen=True)
class PartRows:
    """The rows of all parts.

    Attributes:
        listing: The parts and snapshots that the rows were read from.
        rows: In the order of the parts' names.
        loose: The rows of each part that is in no snapshot, by file name, sorted.
        unused: Keys of the snapshots that no part needs any more.
    """

    listing: PartListing
    rows: pa.Table
    loose: dict[str, pa.Table]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class _Span:
    """Consecutive rows of a table: those of one part, or of several that follow one another."""

    table: pa.Table
    start: int
    length: int

    def ends_where(self, other: _Span) -> bool:
        """Return whether another span of the same table starts right after this one."""
        return other.table is self.table and other.start == self.start + self.length


def list_parts(parts: Store) -> PartListing:
    """List the parts and the snapshots."""
    listed = parts.list()
    stored_parts = [stored for stored in listed if _is_part(stored.key)]
    return PartListing(
        etags={stored.key: stored.etag for stored in stored_parts},
        snapshots=tuple(stored.key for stored in listed if stored.key.startswith(_FOLDER)),
        sizes={stored.key: stored.size for stored in stored_parts},
    )


def read_rows(parts: Store, listing: PartListing, schema: pa.Schema, columns: Sequence[str] | None = None) -> PartRows:
    """Read the rows of all listed parts, from snapshots where possible.

    Args:
        parts: The folder of the parts.
        listing: From `list_parts`.
        schema: That of `Result`, or one with the same columns, some of them as dictionaries.
        columns: Columns to read; all when None.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    spans: dict[str, _Span] = {}
    unused = []
    for key in listing.snapshots:
        usable = {
            name: span
            for (name, etag), span in _read_snapshot(parts, key, schema, columns).items()
            if listing.etags.get(name) == etag and name not in spans
        }
        spans |= usable
        if not usable:
            unused.append(key)
    sizes = {name: size for name, size in listing.sizes.items() if name not in spans}
    loose = _read_parts(parts, sizes, schema, columns)
    spans |= {name: _Span(table, 0, len(table)) for name, table in loose.items()}
    rows = pa.concat_tables([_no_rows(schema, columns), *_join(spans[name] for name in listing.etags)])
    return PartRows(listing, rows, loose, tuple(unused))


def compact(parts: Store, part_rows: PartRows) -> None:
    """Write full snapshots of the parts that are in none, and delete the snapshots that no part needs.

    Several processes may do so at once. Where one deletes a snapshot that another wants to read,
    the latter reads the parts.

    Args:
        parts: The folder of the parts.
        part_rows: From `read_rows`, with all columns.
    """
    parts.delete_many(part_rows.unused)
    for names in chunked(part_rows.loose, _PARTS_AT_ONCE):
        if len(names) < _PARTS_AT_ONCE:
            break
        facts = [(name, part_rows.listing.etags[name], len(part_rows.loose[name])) for name in names]
        schema = Result.SCHEMA.with_metadata({_PARTS: json.dumps(facts).encode()})
        rows = pa.concat_tables(part_rows.loose[name] for name in names)
        data = table_bytes_by_row_group(rows, schema, _ROWS_AT_ONCE)
        parts.create(_snapshot_key(data), data)


def _read_snapshot(
    parts: Store, key: str, schema: pa.Schema, columns: Sequence[str] | None
) -> dict[tuple[str, str], _Span]:
    """Return the rows of each part in a snapshot, by the part's name and etag; nothing if the snapshot is unusable."""
    try:
        data = parts.read(key)
    except FileNotFoundError:  # another run deleted it since the listing
        return {}
    if key != _snapshot_key(data):
        logger.warning("snapshot %s is damaged; its parts are read instead", parts.uri_of(key))
        return {}
    try:
        return _parse_snapshot(data, schema, columns)
    except (pa.ArrowException, ValueError, TypeError, KeyError, RecursionError) as error:
        logger.warning("snapshot %s cannot be read (%s); its parts are read instead", parts.uri_of(key), error)
        return {}


def _parse_snapshot(data: bytes, schema: pa.Schema, columns: Sequence[str] | None) -> dict[tuple[str, str], _Span]:
    written = read_schema(data)
    if not {*Result.SCHEMA.names} <= {*written.names}:  # an older version, which did not know some columns, wrote it
        return {}
    table = read_table(data, schema, columns)
    facts = [(str(name), str(etag), int(length)) for name, etag, length in json.loads((written.metadata or {})[_PARTS])]
    ends = list(accumulate(length for *_, length in facts))
    if ends and ends[-1] != len(table):
        raise ValueError(f"expected {ends[-1]:,} rows, found {len(table):,}")
    spans = zip(facts, [0, *ends], strict=False)
    return {(name, etag): _Span(table, start, length) for (name, etag, length), start in spans}


def _join(spans: Iterable[_Span]) -> list[pa.Table]:
    """Return the rows of some spans in as few tables as possible: each table costs as much as many rows."""
    runs: list[_Span] = []
    for span in spans:
        if runs and runs[-1].ends_where(span):
            runs[-1] = _Span(span.table, runs[-1].start, runs[-1].length + span.length)
        else:
            runs.append(span)
    return [run.table.slice(run.start, run.length) for run in runs]


def _read_parts(
    parts: Store, sizes: Mapping[str, int], schema: pa.Schema, columns: Sequence[str] | None
) -> dict[str, pa.Table]:
    tables: dict[str, pa.Table] = {}
    for names in chunked(sizes, _PARTS_AT_ONCE):
        for name, data in parts.read_listed({name: sizes[name] for name in names}).items():
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
            "delete it and run again, which stylizes its photos again"
        ) from error


def _no_rows(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
    return cast_to_schema(schema.empty_table(), schema, columns)


def _is_part(name: str) -> bool:
    return name.startswith(PART_PREFIX) and name.endswith(PART_SUFFIX)


def _snapshot_key(data: bytes) -> str:
    return f"{_FOLDER}{short_hash(data)}.parquet"
