"""Parquet tables from and to bytes.

Stores hand over whole objects and this module never sees a store: reading Parquet through a store's file handle can
abort the interpreter when it exits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq


def table_bytes(table: pa.Table, *, row_group_size: int | None = None) -> bytes:
    """Write a table; equal tables give equal bytes, however they are chunked.

    Args:
        table: Its schema's metadata is kept.
        row_group_size: Rows in a row group; the format's default when None.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, compression="zstd", row_group_size=row_group_size)
    return sink.getvalue().to_pybytes()


def table_bytes_by_row_group(table: pa.Table, schema: pa.Schema, row_group_size: int) -> bytes:
    """Write a table under another schema, of which a row group at a time is in memory.

    A text that many rows share is one in memory where the table has it as a dictionary and `schema` as a string.

    Args:
        table: Has the columns of `schema`, as those types or as what can be cast to them.
        schema: What the file says, its metadata included.
        row_group_size: Rows in a row group.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for start in range(0, len(table), row_group_size):
            writer.write_table(cast_to_schema(table.slice(start, row_group_size), schema).combine_chunks())
    return sink.getvalue().to_pybytes()


def read_table(data: bytes, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table as rows of `schema`, whichever version of it they were written under.

    Args:
        data: The whole file.
        schema: Columns it does not name are left out, those that the file lacks come as nulls.
        columns: Names of `schema` to read; all when None.

    Raises:
        pa.ArrowException: The bytes are no sound Parquet file, or a column is of another type.
    """
    with _parsing():
        facts = pq.read_metadata(pa.BufferReader(data))
        there = set(facts.schema.to_arrow_schema().names)
        shared = [field.name for field in schema if pa.types.is_dictionary(field.type) and field.name in there]
        file = pq.ParquetFile(pa.BufferReader(data), metadata=facts, read_dictionary=shared)
        return cast_to_schema(_read(file, schema, columns), schema, columns)


def read_row_group(data: bytes, schema: pa.Schema, row_group: int) -> pa.Table:
    """Read one row group, counted from 0, as rows of `schema`.

    Raises:
        pa.ArrowException: The bytes are no sound Parquet file, or a column is of another type.
        IndexError: There are fewer row groups.
    """
    with _parsing():
        file = pq.ParquetFile(pa.BufferReader(data))
        if row_group >= file.num_row_groups:
            raise IndexError(f"there are {file.num_row_groups} row groups, number {row_group} is asked for")
        return cast_to_schema(_sound(file.read_row_group(row_group)), schema)


def read_columns(data: bytes, names: Sequence[str], *, most_rows: int) -> pa.Table:
    """Read those of some columns that are there, of whatever types, from a file that anyone may have written.

    Raises:
        pa.ArrowException: The bytes are no sound Parquet file.
        ValueError: It has more rows.
    """
    with _parsing():
        file = pq.ParquetFile(pa.BufferReader(data))
        if file.metadata.num_rows > most_rows:
            raise ValueError(f"{file.metadata.num_rows} rows, more than {most_rows}")
        return _sound(file.read(columns=[name for name in names if name in file.schema_arrow.names]))


def read_schema(data: bytes) -> pa.Schema:
    """Read the columns of a file.

    Raises:
        pa.ArrowException: The bytes are no Parquet file.
    """
    with _parsing():
        return pq.read_schema(pa.BufferReader(data))


def read_metadata(data: bytes) -> dict[bytes, bytes]:
    """Read what a file's schema says beside its columns.

    Raises:
        pa.ArrowException: The bytes are no Parquet file.
    """
    return read_schema(data).metadata or {}


def read_row_group_sizes(data: bytes) -> list[int]:
    """Read how many rows each row group has.

    Raises:
        pa.ArrowException: The bytes are no Parquet file.
    """
    with _parsing():
        found = pq.read_metadata(pa.BufferReader(data))
        return [found.row_group(number).num_rows for number in range(found.num_row_groups)]


def cast_to_schema(table: pa.Table, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows under `schema`, or those of its columns that are named; lacking ones are null.

    Raises:
        pa.ArrowException: A column is of another type.
    """
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns], schema.metadata)
    arrays = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in wanted
    ]
    return pa.Table.from_arrays(arrays, schema=wanted)


def _read(file: pq.ParquetFile, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
    wanted = schema.names if columns is None else columns
    return _sound(file.read(columns=[name for name in wanted if name in file.schema_arrow.names]))


def _sound(table: pa.Table) -> pa.Table:
    table.validate(full=True)  # readers take any bytes for text, and those of Python fail on them later
    return table


@contextmanager
def _parsing() -> Iterator[None]:
    """Make one error of all that damage gives; some are `OSError`, as those of a failing store."""
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeError) as error:
        raise pa.ArrowInvalid(str(error)) from error
