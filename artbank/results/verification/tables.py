"""Check that `results.parquet` and `metadata.parquet` follow from the parts."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from artbank.records.photo_records import Result
from artbank.results.layout import METADATA, RESULTS
from artbank.results.tables import METADATA_COLUMNS, make_metadata
from artbank.results.verification.inventory import PAIR, Inventory, is_in
from artbank.store.parquet import read_table

_COMPARED = [
    *("key", "style", "size", "etag", "recipe_id", "status", "failure"),
    *("file_name", "file_size", "file_sha256", "created_at"),
]


def find_stale(inventory: Inventory) -> Iterator[tuple[str, str, str]]:
    """Yield kind and name of each table that does not follow from the parts, or may not, and what is wrong with it.

    `results.parquet` has only photos that are in the archive. So if rows are not in the table, the archive is listed,
    unless only the output names it.
    """
    if not len(inventory.rows):
        return
    names = inventory.files.filter(is_in("key", [RESULTS, METADATA]))["key"].to_pylist()
    table = _read(inventory, RESULTS, [*_COMPARED, *METADATA_COLUMNS]) if RESULTS in names else "is missing"
    if isinstance(table, str):
        yield "stale_table", RESULTS, table
        return
    if fault := _find_difference(inventory, table):
        yield "stale_table", RESULTS, fault
    elif inventory.unnamed_archive is not None and len(_find_absent(inventory, table)):
        yield "unlisted_archive", RESULTS, f"the output names {inventory.unnamed_archive}"
    metadata = _read(inventory, METADATA, METADATA_COLUMNS) if METADATA in names else "is missing"
    if isinstance(metadata, str):
        yield "stale_table", METADATA, metadata
    elif not metadata.equals(make_metadata(table)):
        yield "stale_table", METADATA, "does not have the done pictures of results.parquet"


def _find_difference(inventory: Inventory, table: pa.Table) -> str | None:
    known = is_in("key", pc.unique(table["key"]).to_pylist())
    expected = inventory.latest.filter(known).select(_COMPARED)
    found = table.select(_COMPARED)
    if not found.sort_by([(name, "ascending") for name in PAIR]).equals(expected):
        return "has rows that are not the latest of the parts"
    absent = _find_absent(inventory, table)
    if len(absent) and inventory.photos is not None and len(inventory.photos.filter(pc.field("key").isin(absent))):
        return "has no row of some photos that are in the archive and in the parts"
    return None


def _find_absent(inventory: Inventory, table: pa.Table) -> pa.Array:
    """Return the photos that have rows in parts and none in a table."""
    return pc.unique(inventory.latest.filter(~is_in("key", pc.unique(table["key"]).to_pylist()))["key"])


def _read(inventory: Inventory, name: str, columns: list[str] | tuple[str, ...]) -> pa.Table | str:
    try:
        table = read_table(inventory.output.read(name), Result.SCHEMA, list(dict.fromkeys(columns)))
    except (pa.ArrowException, FileNotFoundError) as error:
        return f"cannot be read: {' '.join(str(error).split())}"
    return table.replace_schema_metadata()
