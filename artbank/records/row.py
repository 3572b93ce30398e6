"""The base of all rows that artbank stores: frozen dataclasses, each with its Arrow schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

import pyarrow as pa

NAMED = pa.dictionary(pa.int32(), pa.string())
"""The type of a column that names folders, such as `collection=monet`: readers give it to these."""

_COLUMN_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
    list[str]: pa.list_(pa.string()),
    list[float]: pa.list_(pa.float64()),
    list[int]: pa.list_(pa.int64()),
}


def _column_type(hint: Any) -> pa.DataType:
    """Return the Arrow type of a field; an optional field has the type of its value."""
    for part in (hint, *get_args(hint)):
        if part in _COLUMN_TYPES:
            return _COLUMN_TYPES[part]
        if get_origin(part) is Literal:
            return pa.string()
    raise TypeError(f"expected a type that a column can have, found {hint}")


class Row:
    """Conversion of rows from and to Arrow tables, column by column."""

    SCHEMA: ClassVar[pa.Schema]

    def __init_subclass__(cls, *, schema: str, **columns: pa.DataType):
        """Derive `SCHEMA` from the fields, in their order.

        Args:
            schema: Name and version of the schema; every file has it in its metadata.
            columns: Types of the columns that do not follow from the field's type.
        """
        hints = get_type_hints(cls)
        types = {name: columns.get(name) or _column_type(hints[name]) for name in cls.__annotations__}
        cls.SCHEMA = pa.schema(list(types.items()), metadata={"artbank.schema": schema})

    @classmethod
    def to_table(cls, rows: Iterable[Self]) -> pa.Table:
        """Return the rows as a table of `SCHEMA`."""
        return pa.Table.from_pylist([vars(row) for row in rows], schema=cls.SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table) -> list[Self]:
        """Return the rows of a table, without columns that this version does not know; missing columns are None."""
        names = [field.name for field in fields(cls)]  # pyright: ignore[reportArgumentType]
        return [cls(**{name: row.get(name) for name in names}) for row in table.to_pylist()]
