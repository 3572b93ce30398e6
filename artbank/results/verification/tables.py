"""Whether the tables of the present are what follows from the parts."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from artbank.records import Result
from artbank.results.layout import METADATA, RESULTS
from artbank.results.ledger import METADATA_COLUMNS, make_metadata
from artbank.results.verification.inventory import PAIR, Holdings, is_in
from artbank.store.parquet import read_table

_COMPARED = [
    *("key", "style", "size", "etag", "recipe_id", "status", "failure"),
    *("file_name", "file_size", "file_sha256", "created_at"),
]


def find_stale(stock: Holdings) -> Iterator[tuple[str, str]]:
    """Yield the name of each table that does not follow from the parts, and why.

    Which photos `results.parquet` should name only their archive says: it is listed where rows are not in the table.
    """
    if not len(stock.rows):
        return
    names = stock.files.filter(is_in("key", [RESULTS, METADATA]))["key"].to_pylist()
    table = _read(stock, RESULTS, [*_COMPARED, *METADATA_COLUMNS]) if RESULTS in names else "is not there"
    if isinstance(table, str):
        yield RESULTS, table
        return
    if fault := _compare(stock, table):
        yield RESULTS, fault
    metadata = _read(stock, METADATA, METADATA_COLUMNS) if METADATA in names else "is not there"
    if isinstance(metadata, str):
        yield METADATA, metadata
    elif not metadata.equals(make_metadata(table)):
        yield METADATA, "has not the pictures that are done in results.parquet"


def _compare(stock: Holdings, table: pa.Table) -> str | None:
    known = is_in("key", pc.unique(table["key"]).to_pylist())
    expected, found = stock.current.filter(known).select(_COMPARED), table.select(_COMPARED)
    if not found.sort_by([(name, "ascending") for name in PAIR]).equals(expected):
        return "has rows that are not the newest of the parts"
    absent = pc.unique(stock.current.filter(~known)["key"])
    if len(absent) and stock.photos is not None and len(stock.photos.filter(pc.field("key").isin(absent))):
        return "lacks photos that are in the archive and in the parts"
    return None


def _read(stock: Holdings, name: str, columns: list[str] | tuple[str, ...]) -> pa.Table | str:
    try:
        table = read_table(stock.output.read(name), Result.SCHEMA, list(dict.fromkeys(columns)))
    except (pa.ArrowException, FileNotFoundError) as error:
        return f"cannot be read: {' '.join(str(error).split())}"
    return table.replace_schema_metadata()
