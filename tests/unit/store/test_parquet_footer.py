"""The footer of a Parquet file is read as pyarrow reads it, and damage to it is an error of that file alone."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artbank.records.photo_records import Result
from artbank.store.parquet import table_bytes
from artbank.store.parquet_footer import DELTA_BYTE_ARRAY, DICTIONARY_ENCODINGS, read_footer
from tests.support.paths import ROOT
from tests.support.rows import result

_NAMES = {"PLAIN_DICTIONARY": 2, "DELTA_BYTE_ARRAY": 7, "RLE_DICTIONARY": 8}
_TABLE = pa.table(
    {
        "text": ["a", "b", "a", None] * 5,
        "number": list(range(20)),
        "lists": [["x", "y"], []] * 10,
        "is_true": [True, False] * 10,
        "real": [0.5] * 20,
    }
)


def file_of(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


FILES = {
    "row groups": file_of(_TABLE, row_group_size=6),
    "no dictionaries": file_of(_TABLE, use_dictionary=False, compression="none"),
    "differences": file_of(_TABLE.select(["text"]), use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY"}),
    "no rows": file_of(_TABLE.slice(0, 0)),
    "page index": file_of(_TABLE, write_page_index=True, data_page_version="2.0", version="1.0"),
    "a part": table_bytes(Result.to_table([result(), result("b.jpg")])),
    "many columns": file_of(pa.table({f"c{number}": [number] for number in range(40)})),
}


@pytest.mark.parametrize("name", FILES)
def test_columns_are_those_that_pyarrow_finds(name: str) -> None:
    data = FILES[name]
    metadata = pq.read_metadata(pa.BufferReader(data))
    footer = read_footer(data)
    assert [len(group) for group in footer] == [metadata.num_columns] * metadata.num_row_groups
    for group, columns in enumerate(footer):
        for number, column in enumerate(columns):
            expected = metadata.row_group(group).column(number)
            telling = {_NAMES[name] for name in expected.encodings if name in _NAMES}
            assert column.encodings & (DICTIONARY_ENCODINGS | {DELTA_BYTE_ARRAY}) == telling
            assert column.has_dictionary == expected.has_dictionary_page
            assert (column.num_values, column.num_bytes) == (expected.num_values, expected.total_uncompressed_size)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_an_error_of_the_file(footer: bytes) -> None:
    data = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    try:
        read_footer(data)
    except pa.ArrowInvalid as error:
        assert "footer of the Parquet file is damaged" in str(error)


_READ_DAMAGED = """
import sys
import pyarrow as pa
from artbank.records.photo_records import Result
from artbank.store.parquet import read_table, table_bytes
from tests.support.rows import result
data = table_bytes(Result.to_table([result()]))
for at in range(len(data) - 8 - int.from_bytes(data[-8:-4], "little"), len(data) - 8, int(sys.argv[1])):
    for value in (0, 0x23, data[at] ^ 1, 0xFF):
        try:
            read_table(data[:at] + bytes([value]) + data[at + 1 :], Result.SCHEMA)
        except pa.ArrowException:
            pass
print("survived")
"""


def test_no_damage_to_a_footer_ends_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _READ_DAMAGED, "13"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert (ended.stdout, ended.returncode) == ("survived\n", 0), ended.stderr[-500:]
