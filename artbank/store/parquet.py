"""Read and write Parquet tables as bytes.

This module works on whole objects and never on a store: reading Parquet through a file handle of a store can abort the
interpreter at exit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq


def table_bytes(table: pa.Table, *, row_group_size: int | None = None) -> bytes:
    """Return a table as a Parquet file; equal tables give equal bytes, however they are chunked.

    Args:
        table: The table; the metadata of its schema is written too.
        row_group_size: Rows per row group; None for the default of pyarrow.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, compression="zstd", row_group_size=row_group_size)
    return sink.getvalue().to_pybytes()


def table_bytes_by_row_group(table: pa.Table, schema: pa.Schema, row_group_size: int) -> bytes:
    """Return a table as a Parquet file of another schema, cast one row group at a time to save memory.

    Dictionary columns stay encoded in memory and are written as plain strings.

    Args:
        table: Has the columns of `schema`, in types that can be cast to those of `schema`.
        schema: Schema of the file, including its metadata.
        row_group_size: Rows per row group.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for start in range(0, len(table), row_group_size):
            writer.write_table(cast_to_schema(table.slice(start, row_group_size), schema).combine_chunks())
    return sink.getvalue().to_pybytes()


def read_table(data: bytes, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table as rows of `schema`, also if it was written with another version of that schema.

    Args:
        data: Content of the file.
        schema: Columns of the file that it does not name are left out; columns that the file does not have are null.
        columns: Names of the columns to read; None for all of `schema`.

    Raises:
        pa.ArrowException: The bytes are not a valid Parquet file, or a column has another type.
    """
    with _damage_as_arrow_error():
        metadata = pq.read_metadata(pa.BufferReader(data))
        names = set(metadata.schema.to_arrow_schema().names)
        dictionaries = [field.name for field in schema if pa.types.is_dictionary(field.type) and field.name in names]
        file = pq.ParquetFile(pa.BufferReader(data), metadata=metadata, read_dictionary=dictionaries)
        wanted = schema.names if columns is None else columns
        found = file.read(columns=[name for name in wanted if name in file.schema_arrow.names])
        return cast_to_schema(_validated(found), schema, columns)


def read_row_group(data: bytes, schema: pa.Schema, row_group: int) -> pa.Table:
    """Read one row group, counted from 0, as rows of `schema`.

    Raises:
        pa.ArrowException: The bytes are not a valid Parquet file, or a column has another type.
        IndexError: The file has fewer row groups.
    """
    with _damage_as_arrow_error():
        file = pq.ParquetFile(pa.BufferReader(data))
        if row_group >= file.num_row_groups:
            raise IndexError(f"expected row group {row_group}, found {file.num_row_groups} row groups")
        return cast_to_schema(_validated(file.read_row_group(row_group)), schema)


def read_columns(data: bytes, names: Sequence[str], *, max_rows: int) -> pa.Table:
    """Read columns of any type from an untrusted file; columns that it does not have are left out.

    Raises:
        pa.ArrowException: The bytes are not a valid Parquet file.
        ValueError: The file has more than `max_rows` rows.
    """
    with _damage_as_arrow_error():
        file = pq.ParquetFile(pa.BufferReader(data))
        if file.metadata.num_rows > max_rows:
            raise ValueError(f"expected at most {max_rows} rows, found {file.metadata.num_rows}")
        return _validated(file.read(columns=[name for name in names if name in file.schema_arrow.names]))


def read_schema(data: bytes) -> pa.Schema:
    """Read the schema of a file.

    Raises:
        pa.ArrowException: The bytes are not a Parquet file.
    """
    with _damage_as_arrow_error():
        return pq.read_schema(pa.BufferReader(data))


def read_metadata(data: bytes) -> dict[bytes, bytes]:
    """Read the metadata of a file's schema.

    Raises:
        pa.ArrowException: The bytes are not a Parquet file.
    """
    return read_schema(data).metadata or {}


def read_row_group_sizes(data: bytes) -> list[int]:
    """Read the number of rows of each row group.

    Raises:
        pa.ArrowException: The bytes are not a Parquet file.
    """
    with _damage_as_arrow_error():
        metadata = pq.read_metadata(pa.BufferReader(data))
        return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def cast_to_schema(table: pa.Table, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a table with the columns of `schema`, or some of them; missing columns are null.

    Raises:
        pa.ArrowException: A column has a type that cannot be cast.
    """
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns], schema.metadata)
    return pa.Table.from_arrays([_cast_column(table, field) for field in wanted], schema=wanted)


def _cast_column(table: pa.Table, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    if field.name in table.column_names:
        return table[field.name].cast(field.type)
    return pa.nulls(len(table), field.type)


def _validated(table: pa.Table) -> pa.Table:
    table.validate(full=True)  # the reader accepts invalid UTF-8, which would fail later in Python
    return table


@contextmanager
def _damage_as_arrow_error() -> Iterator[None]:
    """Raise all errors of damaged bytes as one type; pyarrow raises some as OSError, like a store that fails."""
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeError) as error:
        raise pa.ArrowInvalid(str(error)) from error
