"""Read and write Parquet tables as bytes.

This module works on whole objects and never on a store: reading Parquet through a file handle of a store can abort the
interpreter at exit.

A few bytes of Parquet can stand for terabytes of rows. So `Limits` are checked in the metadata before a table is read,
and again with each batch of rows. Texts are read as dictionaries and written out only when their size is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import compress

import pyarrow as pa
import pyarrow.parquet as pq

from artbank.store.parquet_footer import ColumnFacts, read_footer
from artbank.store.table_limits import VALUE_BYTES, Chunk, Limits, check_count, plain_bytes

_BATCH_ROWS = 2**17


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


def read_table(
    data: bytes, schema: pa.Schema, columns: Sequence[str] | None = None, limits: Limits | None = None
) -> pa.Table:
    """Read a table as rows of `schema`, also if it was written with another version of that schema.

    Args:
        data: Content of the file.
        schema: Columns of the file that it does not name are left out; columns that the file does not have are null.
        columns: Names of the columns to read; None for all of `schema`.
        limits: The most that the rows may take; None for `Limits.of_file`.

    Raises:
        pa.ArrowException: The bytes are not a valid Parquet file, a column has another type, or the rows take more
            than `limits`.
    """
    with _damage_as_arrow_error():
        return ParquetBytes(data, limits=limits).read(schema, schema.names if columns is None else columns)


class ParquetBytes:
    """A Parquet file whose metadata is parsed once, however often row groups are read from it."""

    def __init__(self, data: bytes, *, limits: Limits | None = None, has_checksums: bool = False):
        """Parse the metadata.

        Args:
            data: Content of the file.
            limits: The most that the rows of one read may take; None for `Limits.of_file`.
            has_checksums: Whether to compare its pages with their checksums.

        Raises:
            pa.ArrowException: The bytes are not a valid Parquet file, or have too many columns.
        """
        self._data = data
        self._limits = limits or Limits.of_file(data)
        self._has_checksums = has_checksums
        with _damage_as_arrow_error():
            self._metadata = pq.read_metadata(pa.BufferReader(data))
            check_count("columns", self._metadata.num_columns, self._limits.num_columns)
            self.schema: pa.Schema = self._metadata.schema.to_arrow_schema()

    @cached_property
    def _footer(self) -> list[list[ColumnFacts]]:
        """The columns of each row group."""
        footer = read_footer(self._data)
        num_columns = self._metadata.num_columns
        if len(footer) != self.num_row_groups or any(len(group) != num_columns for group in footer):
            raise pa.ArrowInvalid(
                f"expected {self.num_row_groups} row groups of {num_columns} columns, found others in the footer"
            )
        return footer

    @property
    def num_row_groups(self) -> int:
        """Number of row groups."""
        return self._metadata.num_row_groups

    def row_group_sizes(self) -> list[int]:
        """Return the number of rows of each row group."""
        with _damage_as_arrow_error():
            return [self._metadata.row_group(number).num_rows for number in range(self.num_row_groups)]

    def read(self, schema: pa.Schema, columns: Sequence[str], row_group: int | None = None) -> pa.Table:
        """Read all rows, or those of one row group, as rows of some columns of `schema`.

        Raises:
            pa.ArrowException: See `read_table`.
            IndexError: The file has fewer row groups.
        """
        if row_group is not None and row_group >= self.num_row_groups:
            raise IndexError(f"expected row group {row_group}, found {self.num_row_groups} row groups")
        groups = range(self.num_row_groups) if row_group is None else [row_group]
        with _damage_as_arrow_error():
            batches = [cast_to_schema(batch, schema, columns) for batch in self.batches(columns, groups)]
            return pa.concat_tables(batches) if batches else cast_to_schema(schema.empty_table(), schema, columns)

    def batches(
        self, columns: Sequence[str], row_groups: Sequence[int] | None = None, *, batch_rows: int = _BATCH_ROWS
    ) -> Iterator[pa.Table]:
        """Yield the rows of some row groups in batches; texts may be dictionaries.

        Args:
            columns: Names of the columns to read; those that the file does not have are left out.
            row_groups: All when None.
            batch_rows: Rows of a batch, at most.

        Raises:
            pa.ArrowException: See `read_table`.
        """
        groups = range(self.num_row_groups) if row_groups is None else row_groups
        wanted = [name for name in columns if name in self.schema.names]
        num_bytes = 0
        with _damage_as_arrow_error():
            chunks = self._check_metadata(wanted, groups, len(columns))
            for batch in self._read(chunks, wanted, groups, batch_rows):
                num_bytes += sum(plain_bytes(column) for column in batch.columns)
                check_count("bytes", num_bytes, self._limits.num_bytes)
                yield _validated(pa.Table.from_batches([batch]))

    def _check_metadata(self, wanted: Sequence[str], groups: Sequence[int], num_columns: int) -> list[Chunk]:
        """Check the sizes of all that is to be read; missing columns count too, because they are filled with nulls."""
        leaves = [self._metadata.schema.column(number) for number in range(self._metadata.num_columns)]
        is_wanted = [leaf.path in wanted or leaf.path.partition(".")[0] in wanted for leaf in leaves]
        row_groups = [self._metadata.row_group(group) for group in groups]
        num_rows = sum(group.num_rows for group in row_groups)
        check_count("rows", num_rows, self._limits.num_rows)
        check_count("bytes", num_rows * num_columns * VALUE_BYTES, self._limits.num_bytes)
        chunks = [
            Chunk.of(leaf, column)
            for group in groups
            for leaf, column in compress(zip(leaves, self._footer[group], strict=True), is_wanted)
        ]
        check_count("bytes", sum(chunk.least_bytes for chunk in chunks), self._limits.num_bytes)
        return chunks

    def _read(
        self, chunks: Sequence[Chunk], wanted: Sequence[str], groups: Sequence[int], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Read rows whose texts may be far larger than their encoding, in such a way that only the latter is loaded."""
        most = self._limits.num_bytes
        texts: set[str] = set()
        if sum(chunk.most_bytes for chunk in chunks) > most:
            texts = {
                chunk.path for chunk in chunks if chunk.is_dictionary and (chunk.is_flat or chunk.most_bytes > most)
            }
            longest = max((chunk.num_bytes for chunk in chunks if chunk.is_expanded), default=1)
            batch_rows = min(batch_rows, max(most // longest, 1))
        file = pq.ParquetFile(
            pa.BufferReader(self._data),
            metadata=self._metadata,
            read_dictionary=sorted(texts),
            page_checksum_verification=self._has_checksums,
        )
        is_nested = any(chunk.path in texts and not chunk.is_flat for chunk in chunks)
        # A batch of nested dictionary columns may not span two row groups.
        for row_groups in [[group] for group in groups] if is_nested else [list(groups)]:
            yield from file.iter_batches(batch_rows, row_groups=row_groups, columns=list(wanted))


def read_columns(data: bytes, names: Sequence[str], limits: Limits) -> Iterator[pa.Table]:
    """Yield columns of any type of an untrusted file in batches; columns that it does not have are left out.

    Case and spaces around the names of its columns do not matter.

    Raises:
        pa.ArrowException: The bytes are not a valid Parquet file, or the rows take more than `limits`.
    """
    file = ParquetBytes(data, limits=limits)
    known = {name: name.strip().lower() for name in file.schema.names if name.strip().lower() in names}
    for batch in file.batches(list(known)):
        yield batch.rename_columns([known[name] for name in batch.column_names])


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
