"""`results.parquet` and `metadata.parquet`: the latest rows, for readers.

Both follow from the parts and from the archive's listing. Each file carries a hash of these
sources, so a run that changes nothing writes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import sliced

from artbank.errors import ConfigError, ResultsError
from artbank.records.photo_records import Result
from artbank.results import containers, known_parts, snapshots, vacuum
from artbank.results.archive_listing import is_unseen, unseen_places
from artbank.results.layout import METADATA, PARTS, RESULTS
from artbank.results.ledger import LEAN_SCHEMA, is_latest
from artbank.results.output_place import check_is_output
from artbank.store.objects import Store
from artbank.store.parquet import cast_to_schema, read_metadata, read_table, table_bytes_by_row_group

METADATA_COLUMNS = (
    "file_name",
    "key",
    "style",
    "clip_style",
    "clip_text",
    "clip_content",
    "clip_direction",
    "ssim",
    "dino_structure",
    "csd_style",
    "clip_texture",
    "recipe_id",
    "mark",
    "caption",
    "prompt",
)
MOST_TURNS = 10
"""Turns of writing tables, and a page of them, while runs on other styles commit parts or write older tables."""

_ROWS_AT_ONCE = 16_384
_SOURCE_HASH = b"artbank.origin"


def update_tables_and_vacuum(output: Store, photos: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
    """Bring both tables up to the parts, and delete from containers the pictures that no latest row names.

    If both tables have the right source hash, nothing is written or deleted. Otherwise the order
    matters: pictures leave a container only after `results.parquet` no longer names them, and
    `metadata.parquet` comes last, so that its source hash proves that everything before it is done.

    Args:
        output: Where the results are.
        photos: The archive as it is listed now, with a column `key`; the tables leave out rows of
            other photos, unless these lie where the listing was not allowed to look.
        columns: Columns of `Result` to return; all when None.

    Returns:
        The rows of `results.parquet`, by photo and style; see `source_hash`.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    parts = output.child(PARTS)
    listing = snapshots.list_parts(parts)
    source = _hash_sources(listing, photos)
    rows = _read_results(output, source, columns)
    if rows is None:
        known_parts.find_deleted(output, listing)
        rows, members = _read_sources(parts, listing, photos)
        _write(output, RESULTS, rows, {**(Result.SCHEMA.metadata or {}), _SOURCE_HASH: source})
        vacuum.delete_stale_members(output, members, listing)
        known_parts.record_parts(output, listing.etags)
        _write(output, METADATA, make_metadata(rows), {_SOURCE_HASH: source})
    table = cast_to_schema(rows, Result.SCHEMA, columns)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _SOURCE_HASH: source})


def settle_tables(output: Store, photos: pa.Table) -> None:
    """Bring both tables up to the parts until no part was added meanwhile, in at most `MOST_TURNS` turns.

    A run that ends at the same time may write tables between the reading of the parts and the writing here. The writer
    that comes last sees that its rows are older, and writes again.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    for _ in range(MOST_TURNS):
        rows = update_tables_and_vacuum(output, photos, columns=("key",))
        if is_current(output, photos, rows):
            return


def is_current(output: Store, photos: pa.Table, rows: pa.Table) -> bool:
    """Return whether rows from `update_tables_and_vacuum` follow from the parts that are there now."""
    return _hash_sources(snapshots.list_parts(output.child(PARTS)), photos).decode() == source_hash(rows)


def source_hash(rows: pa.Table) -> str:
    """Return the hash of all sources of rows from `update_tables_and_vacuum`: equal hashes mean equal rows."""
    return rows.schema.metadata[_SOURCE_HASH].decode()


def make_metadata(rows: pa.Table) -> pa.Table:
    """Return the rows of `metadata.parquet`, in `METADATA_COLUMNS`, from those of `results.parquet`."""
    done = rows.filter(pc.field("status") == "done")
    return done.filter(containers.are_images(done["file_name"])).select(METADATA_COLUMNS)


def read_finished(output: Store, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the `results.parquet` of an output, for a command that uses what runs have written.

    Args:
        output: The output.
        schema: See `read_table`, as for `columns`.
        columns: Names of the columns to read; None for all of `schema`.

    Raises:
        ConfigError: The place is no output, or its first run has not ended.
        ResultsError: The table cannot be read.
        OSError: The store failed.
    """
    try:
        return read_table(output.read(RESULTS), schema, columns)
    except (FileNotFoundError, NotADirectoryError) as error:
        check_is_output(output)
        raise ConfigError(
            f"expected finished results in {output.uri}, found those of a run that has not ended; run its stylize "
            "command again, which does only what is missing"
        ) from error
    except pa.ArrowException as error:
        raise ResultsError(f"{output.uri_of(RESULTS)} cannot be read; `artbank verify --repair` writes it") from error


def _hash_sources(listing: snapshots.PartListing, photos: pa.Table) -> bytes:
    all_styles = None  # a part of the hash since versions that could select styles
    facts: list[object] = [str(Result.SCHEMA), METADATA_COLUMNS, listing.etags, all_styles]
    if places := unseen_places(photos):
        facts.append(places)
    digest = hashlib.sha256(json.dumps(facts).encode())
    for keys in sliced(photos["key"].combine_chunks(), _ROWS_AT_ONCE):
        joined = pc.binary_join(pa.ListArray.from_arrays([0, len(keys)], keys), "\n")
        digest.update(b"\n" + joined[0].as_py().encode())
    return digest.hexdigest().encode()


def _read_results(output: Store, source: bytes, columns: Sequence[str] | None) -> pa.Table | None:
    """Read `results.parquet`; None if it or `metadata.parquet` is missing, damaged, or made from other sources."""
    try:
        for name in (METADATA, RESULTS):
            data = output.read(name)
            if read_metadata(data).get(_SOURCE_HASH) != source:
                return None
        return read_table(data, Result.SCHEMA, columns)
    except (OSError, pa.ArrowException):
        return None


def _read_sources(parts: Store, listing: snapshots.PartListing, photos: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows of `results.parquet`, long texts as dictionaries, and the members of all containers."""
    part_rows = snapshots.read_rows(parts, listing, LEAN_SCHEMA)
    snapshots.compact(parts, part_rows)
    ledger = part_rows.rows.unify_dictionaries()
    latest = is_latest(ledger)
    members = vacuum.list_members(ledger, latest)
    in_archive = pc.is_in(ledger["key"], value_set=photos["key"].combine_chunks()).to_numpy()
    in_archive = in_archive | is_unseen(ledger["key"], photos)
    [places] = (latest & in_archive).nonzero()
    names = ledger.select(["key", "style"]).take(places)
    order = pc.sort_indices(names, [("key", "ascending"), ("style", "ascending")])
    return ledger.take(places[order]), members


def _write(output: Store, key: str, rows: pa.Table, facts: Mapping[bytes, bytes]) -> None:
    schema = pa.schema([Result.SCHEMA.field(name) for name in rows.column_names], facts)
    output.write(key, table_bytes_by_row_group(rows, schema, _ROWS_AT_ONCE))
