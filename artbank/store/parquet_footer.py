"""The footer of a Parquet file: what it says of the columns, row group by row group.

`pyarrow` ends the whole process when it is asked for damaged metadata of a column: its C++ error reaches no Python
handler. So the few numbers needed before a table is read are taken from the footer here. Nothing else of the
file is parsed here, and `pyarrow` still reads the table, where its errors are caught.

Source: the Parquet format's `parquet.thrift`, and Thrift's compact protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

_TAIL_BYTES = 8  # the length of the footer, and the file's last four letters
_DEEPEST = 32  # nesting of a footer that is none of ours to follow
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

# Numbers of fields in `parquet.thrift`.
_FILE_ROW_GROUPS = 4
_GROUP_COLUMNS = 1
_COLUMN_METADATA = 3
_ENCODINGS, _NUM_VALUES, _NUM_BYTES, _DICTIONARY_OFFSET = 2, 5, 6, 11
DICTIONARY_ENCODINGS = frozenset({2, 8})
"""Encodings of which one value of the file stands for many."""

DELTA_BYTE_ARRAY = 7
"""The encoding of texts that only tells how they differ from the one before."""


@dataclass(frozen=True)
class ColumnFacts:
    """The facts of one column of a row group, from the footer.

    Attributes:
        encodings: Numbers of its encodings.
        num_values: Its values; for a column of lists those in the lists.
        num_bytes: Bytes of its encoding, not compressed.
        has_dictionary: Whether it has a page of dictionary.
    """

    encodings: frozenset[int]
    num_values: int
    num_bytes: int
    has_dictionary: bool


def read_footer(data: bytes) -> list[list[ColumnFacts]]:
    """Return the columns of each row group of a file, in the order of the schema's leaves.

    Raises:
        pa.ArrowInvalid: The footer is damaged.
    """
    try:
        [length] = struct.unpack("<I", data[-_TAIL_BYTES:-4])
        start = len(data) - _TAIL_BYTES - length
        if start < 0:
            raise ValueError(f"expected a footer of at most {len(data)} bytes, found {length}")
        facts = _Footer(data[start:-_TAIL_BYTES]).read(_STRUCT)
        return [[_find_facts(column) for column in group[_GROUP_COLUMNS]] for group in facts[_FILE_ROW_GROUPS]]
    except (ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        raise pa.ArrowInvalid(f"the footer of the Parquet file is damaged: {error}") from error


def _find_facts(column: Mapping[int, Any]) -> ColumnFacts:
    facts = column[_COLUMN_METADATA]
    return ColumnFacts(
        frozenset(facts[_ENCODINGS]), int(facts[_NUM_VALUES]), int(facts[_NUM_BYTES]), _DICTIONARY_OFFSET in facts
    )


class _Footer:
    """Reads values of Thrift's compact protocol; structs become dicts by the number of the field."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0
        self._depth = 0
        self._readers: dict[int, Callable[[], Any]] = {
            _TRUE: lambda: True,
            _FALSE: lambda: False,
            _BYTE: self._byte,
            _I16: self._integer,
            _I32: self._integer,
            _I64: self._integer,
            _DOUBLE: lambda: self._take(8),
            _BINARY: lambda: self._take(self._varint()),
            _LIST: self._list,
            _SET: self._list,
            _MAP: self._map,
            _STRUCT: self._struct,
        }

    def read(self, kind: int) -> Any:
        """Read one value of a type of the protocol."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"expected at most {_DEEPEST} levels")
        value = self._readers[kind]()
        self._depth -= 1
        return value

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise ValueError("it ends too early")
        self._at += count
        return taken

    def _byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number is too long")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            kind = header & 0x0F
            number = number + (header >> 4) if header >> 4 else self._integer()
            fields[number] = self.read(kind)
        return fields

    def _list(self) -> list[Any]:
        header = self._byte()
        count = header >> 4 if header >> 4 < 15 else self._varint()
        kind = header & 0x0F
        self._check_count(count)
        if kind in (_TRUE, _FALSE):  # in a list each has a byte of its own
            return list(self._take(count))
        return [self.read(kind) for _ in range(count)]

    def _map(self) -> list[tuple[Any, Any]]:
        count = self._varint()
        self._check_count(count)
        kinds = self._byte() if count else 0
        return [(self.read(kinds >> 4), self.read(kinds & 0x0F)) for _ in range(count)]

    def _check_count(self, count: int) -> None:
        """Check that so many values can follow; each takes a byte at least."""
        if count > len(self._data) - self._at:
            raise ValueError(f"expected {count} values, which are more than the bytes that follow")
