"""The rows of the catalog as files, read as untrusted input."""

from __future__ import annotations

from typing import TypeVar

import pyarrow as pa

from artbank.errors import CatalogError
from artbank.records.bank_records import BankEvent, BankRecord
from artbank.store.parquet import read_table
from artbank.store.table_limits import Limits

Row = TypeVar("Row", BankRecord, BankEvent)
_LIMITS = Limits(num_rows=100, num_bytes=16 * 2**20)  # of the file of one row; a row takes some kilobytes
_REQUIRED = {
    BankRecord: ("bank_id", "collection", "version", "created_at", "base_model_hash", "weights_uri", "weights_sha256"),
    BankEvent: ("collection", "version", "bank_id", "action", "at"),
}


def parse_row(kind: type[Row], data: bytes, where: str) -> Row:
    """Read the file of one row, trusting nothing in it.

    Args:
        kind: The kind of row.
        data: The file.
        where: Its place, for the error.

    Raises:
        CatalogError: It is no such file, or its row is incomplete.
    """
    try:
        rows = kind.from_table(read_table(data, kind.SCHEMA, limits=_LIMITS))
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise damaged_row(where, f"it cannot be read as a Parquet file of such a row ({error})") from error
    if len(rows) != 1:
        raise damaged_row(where, f"it has {len(rows)} rows")
    [row] = rows
    missing = [name for name in _REQUIRED[kind] if getattr(row, name) is None]
    if missing:
        raise damaged_row(where, f"its row has no {', '.join(missing)}")
    return row


def check_size(where: str, size: int) -> None:
    """Check that the file of a row is not larger than one can be.

    Raises:
        CatalogError: It is.
    """
    if size > _LIMITS.num_bytes:
        raise damaged_row(where, f"it has {size:,} bytes, more than {_LIMITS.num_bytes:,}")


def damaged_row(where: str, found: str) -> CatalogError:
    """Return the error for the file of a row that is something else."""
    return CatalogError(
        f"{where} should hold one row of the catalog, but {found}; "
        "restore the file, or move it out of the catalog (training registers a bank without a row again)"
    )
