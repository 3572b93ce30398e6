"""The columns that stores hold already, and the types that fields stand for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pytest

from artbank.records.bank_records import BankEvent, BankRecord
from artbank.records.photo_records import PhotoTask, Result
from artbank.records.row import Row

STORED = {
    BankRecord: ("bank/1", 39, "819b3024"),
    BankEvent: ("bank-event/1", 5, "9345c416"),
    PhotoTask: ("manifest/1", 10, "fe3ce241"),
    Result: ("result/1", 52, "0a7c3950"),
}
"""Name, number of columns, and a digest of their names and types: who changes them must still read what is stored."""


@pytest.mark.parametrize("kind", STORED)
def test_what_stores_hold_already_keeps_its_columns(kind: Any) -> None:
    columns = "\n".join(f"{column.name} {column.type}" for column in kind.SCHEMA)
    digest = hashlib.sha256(columns.encode()).hexdigest()[:8]
    assert (kind.SCHEMA.metadata[b"artbank.schema"].decode(), len(kind.SCHEMA), digest) == STORED[kind], columns


def test_a_field_that_is_no_column_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a type that a column can have, found <class 'bytes'>"):

        @dataclass(frozen=True)
        class Photo(Row, schema="photo/1"):
            data: bytes
