"""Limits of Parquet tables, and how much of them a table would take, by its metadata."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artbank.store.parquet_footer import DELTA_BYTE_ARRAY, DICTIONARY_ENCODINGS, ColumnFacts

VALUE_BYTES = 4
"""Bytes that a value takes at least, if only as an index of its dictionary."""

_LEAST_BYTES = 2**29  # that every table may take in memory
_BYTES_PER_BYTE = 200  # of a file; our own tables take about 20, as each row holds hashes, which cannot be compressed


@dataclass(frozen=True)
class Limits:
    """The most that a table may take.

    Attributes:
        num_rows: Rows.
        num_bytes: Bytes of the rows in memory.
        num_columns: Columns of the file, whichever are read.
    """

    num_rows: int
    num_bytes: int
    num_columns: int = 1000

    @classmethod
    def of_file(cls, data: bytes) -> Limits:
        """Return the limits of a table of any length: 512 MiB, and 200 bytes more for each byte of its file."""
        num_bytes = _LEAST_BYTES + _BYTES_PER_BYTE * len(data)
        return cls(num_bytes // VALUE_BYTES, num_bytes)


@dataclass(frozen=True)
class Chunk:
    """A column of one row group.

    Attributes:
        path: Path of the column in the file.
        num_values: Its values; for a column of lists those in the lists.
        num_bytes: Bytes of its encoding.
        is_dictionary: Whether it is texts of which each may stand for many values.
        is_expanded: Whether it is texts that are as short as their encoding only until they are read.
    """

    path: str
    num_values: int
    num_bytes: int
    is_dictionary: bool
    is_expanded: bool

    @classmethod
    def of(cls, leaf: pq.ColumnSchema, column: ColumnFacts) -> Chunk:
        """Return what the schema and the footer say of a column of a row group."""
        is_text = leaf.physical_type == "BYTE_ARRAY"
        is_fixed = leaf.physical_type == "FIXED_LEN_BYTE_ARRAY"  # `pyarrow` cannot read it as a dictionary
        has_dictionary = column.has_dictionary or not column.encodings.isdisjoint(DICTIONARY_ENCODINGS)
        return cls(
            leaf.path,
            column.num_values,
            column.num_bytes,
            is_text and has_dictionary,
            (is_text and DELTA_BYTE_ARRAY in column.encodings) or (is_fixed and has_dictionary),
        )

    @property
    def is_flat(self) -> bool:
        """Whether the column is not part of lists or structs."""
        return "." not in self.path

    @property
    def least_bytes(self) -> int:
        """The least bytes that it takes to read it."""
        if self.is_expanded and not self.is_flat:  # one row may have all values, so that small batches do not help
            return self.most_bytes
        return max(self.num_bytes, self.num_values * VALUE_BYTES)

    @property
    def most_bytes(self) -> int:
        """The most bytes that its values may have in memory."""
        return self.num_bytes * (self.num_values if self.is_dictionary or self.is_expanded else 1)


def check_count(unit: str, found: int, most: int) -> None:
    """Check a number against its limit.

    Raises:
        pa.ArrowInvalid: It is negative or above the limit.
    """
    if not 0 <= found <= most:
        raise pa.ArrowInvalid(f"expected at most {most:,} {unit}, found {found:,}; it is not read")


def plain_bytes(column: pa.Array) -> int:
    """Return the bytes of a column whose dictionaries are written out."""
    if isinstance(column, pa.DictionaryArray):
        lengths = pc.binary_length(column.dictionary).cast(pa.int64())
        return (pc.sum(lengths.take(column.indices)).as_py() or 0) + len(column) * VALUE_BYTES
    if isinstance(column, pa.ListArray | pa.LargeListArray):
        return plain_bytes(column.flatten()) + len(column) * VALUE_BYTES
    if isinstance(column, pa.StructArray):
        return sum(plain_bytes(field) for field in column.flatten())
    return column.nbytes
