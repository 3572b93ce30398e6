"""Parquet files of some kilobytes that stand for many gigabytes of rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from artbank.store.parquet import table_bytes

LONG = "x" * 1_000_000


def repeated(text: str, count: int) -> pa.DictionaryArray:
    """Return a column with the same text in each row, which is stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def bomb(column: str, metadata: dict[str, bytes] | None = None) -> bytes:
    """Return a file of 50 kB with 20 GB of text in one column."""
    table = pa.table({column: repeated(LONG, 20_000)})
    return table_bytes(table.replace_schema_metadata(metadata))
