"""Tables that are far larger than their files are refused before they fill the memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artbank.store.parquet import ParquetBytes, read_columns, read_table, table_bytes
from artbank.store.table_limits import Limits
from tests.support.table_bombs import LONG, repeated

TEXT = pa.schema([("text", pa.string())])
TEXTS = pa.schema([("text", pa.list_(pa.string()))])
SMALL = Limits(num_rows=10_000_000, num_bytes=64 * 2**20)


def file_of(column: pa.Array, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": column}), sink, compression="zstd", **options)
    return sink.getvalue().to_pybytes()


def delta(count: int) -> bytes:
    texts = pa.array([LONG] * count)
    return file_of(texts, use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY"})


def list_of(items: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(items)], pa.int32()), items)


def fixed_lengths() -> bytes:
    value = pa.array([b"x" * 100_000], pa.binary(100_000))
    return file_of(pa.DictionaryArray.from_arrays(np.zeros(5000, np.int32), value))


BOMBS: dict[str, tuple[Callable[[], bytes], pa.Schema]] = {
    "rows of nulls": (lambda: file_of(pa.nulls(20_000_000, pa.string())), TEXT),
    "one text in many rows": (lambda: file_of(repeated(LONG, 20_000)), TEXT),
    "texts that each repeat the one before": (lambda: delta(200), TEXT),
    "one text in many items of one list": (lambda: file_of(list_of(repeated(LONG, 20_000))), TEXTS),
    "a list of nulls": (lambda: file_of(list_of(pa.nulls(30_000_000, pa.string()))), TEXTS),
    "a text of zeros": (lambda: file_of(pa.array(["0" * 100_000_000]), use_dictionary=False), TEXT),
    "one value of a fixed length": (fixed_lengths, pa.schema([("text", pa.binary(100_000))])),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_table_that_expands_is_refused_in_little_memory(kind: str) -> None:
    write, schema = BOMBS[kind]
    data = write()
    assert len(data) < 1_000_000
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(
            pa.ArrowInvalid, match=r"expected at most [\d,]+ (rows|bytes), found [\d,]+; it is not read"
        ):
            read_table(data, schema, limits=SMALL)
        assert (pool.max_memory() or 0) < 4 * SMALL.num_bytes
    finally:
        pa.set_memory_pool(before)


def test_columns_that_a_file_lacks_count_as_well() -> None:
    data = file_of(pa.array(np.zeros(1_000_000, np.bool_)))
    schema = pa.schema([("text", pa.bool_()), *((f"other {i}", pa.int64()) for i in range(100))])
    with pytest.raises(pa.ArrowInvalid, match="expected at most 67,108,864 bytes"):
        read_table(data, schema, limits=SMALL)


def test_many_columns_are_refused() -> None:
    data = table_bytes(pa.table({str(i): [i] for i in range(1001)}))
    with pytest.raises(pa.ArrowInvalid, match="expected at most 1,000 columns, found 1,001"):
        ParquetBytes(data)


@pytest.mark.parametrize("encoding", ["dictionary", "delta", "plain"])
def test_texts_that_could_expand_and_do_not_are_read_as_they_are(encoding: str) -> None:
    texts = [f"{i % 7:03d} " + "y" * (i % 50) for i in range(50_000)]
    options = {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}} if encoding == "delta" else {}
    data = file_of(pa.array(texts), use_dictionary=encoding == "dictionary", row_group_size=8_000, **options)
    assert read_table(data, TEXT, limits=SMALL)["text"].to_pylist() == texts


def test_lists_that_could_expand_and_do_not_are_read_as_they_are() -> None:
    lists = [["a" * 200, "b" * (i % 90)][: i % 3] for i in range(60_000)]
    data = file_of(pa.array(lists), row_group_size=25_000)
    assert read_table(data, TEXTS, limits=SMALL)["text"].to_pylist() == lists


def test_a_table_of_hashes_is_read_however_long_it_is() -> None:
    """The limits grow with the file, and no rows that artbank writes come near them."""
    keys = [f"{i:064x}" for i in range(1000)]
    table = pa.table({"text": pa.array(keys)})
    assert read_table(table_bytes(table, row_group_size=10), TEXT).equals(table)
    assert Limits.of_file(bytes(10**9)).num_bytes > 200 * 10**9


def test_a_row_group_is_read_by_its_number() -> None:
    file = ParquetBytes(table_bytes(pa.table({"text": list("abcde")}), row_group_size=2))
    assert file.row_group_sizes() == [2, 2, 1]
    assert file.read(TEXT, ["text"], 2)["text"].to_pylist() == ["e"]
    with pytest.raises(IndexError, match="expected row group 3, found 3 row groups"):
        file.read(TEXT, ["text"], 3)


def test_columns_are_found_whatever_their_case() -> None:
    data = table_bytes(pa.table({" File_Name": ["0.png"], "Caption ": ["lilies"], "other": [1]}))
    [batch] = read_columns(data, ["file_name", "caption", "text"], SMALL)
    assert batch.to_pylist() == [{"file_name": "0.png", "caption": "lilies"}]
