"""Parse files of captions, trusting nothing in them: texts, JSON objects, XMP, and tables of file names and captions.

A caption is one line of printable characters, see `clean`. It is empty where a file has none.

A row of a table names a file and its caption. The columns are those of Hugging Face's ImageFolder: `file_name`, and
`caption` or `text`. Texts are UTF-8, or UTF-16 with a byte order mark, as Windows writes it.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from artbank.images.xmp_packets import DESCRIPTION, read_packet, texts_of
from artbank.runtime.readable_text import drop_invisible
from artbank.store.parquet import read_columns
from artbank.store.table_limits import Limits

LARGEST_TEXT_BYTES = 2**20
"""Bytes of the largest file with the caption of one artwork."""
LARGEST_TABLE_BYTES = 64 * 2**20
"""Bytes of the largest table of captions."""
LONGEST_CAPTION = 500
"""Characters; a prompt has 77 tokens."""

PARSE_ERRORS = (ValueError, TypeError, AttributeError, RecursionError, OverflowError, csv.Error)
"""The errors of a file that cannot be parsed; among them are those of `pyarrow`."""

_NAME_COLUMNS = ("file_name", "filename")
_CAPTION_COLUMNS = ("caption", "text")
_TABLE_LIMITS = Limits(num_rows=1_000_000, num_bytes=256 * 2**20)
_LONGEST_RECORD = 2**20  # characters of a row of CSV or JSONL
_BEYOND = "(cells beyond the header)"
_MOST_NAMED = 5  # columns in a message
_DELIMITERS = (",", ";", "\t")  # a spreadsheet writes `;` where the comma is the decimal sign


def parse_text(body: bytes) -> str:
    """Return the text of a file as a caption.

    Raises:
        ValueError: It is no text.
    """
    text = _decode(body)
    if "\0" in text:
        raise ValueError("found binary data")
    return clean(text)


def parse_json(body: bytes) -> str:
    """Return the caption in a JSON file beside an artwork: a text, or an object as `img2dataset` writes it.

    Raises:
        ValueError, RecursionError: It is no JSON, or holds no caption.
    """
    value = json.loads(_decode(body))
    if isinstance(value, str):
        return clean(value)
    if not isinstance(value, dict):
        raise ValueError(f"found a {type(value).__name__}, no object with a caption")
    return _caption_of(value)


def parse_xmp(body: bytes) -> str | None:
    """Return the description in an XMP file beside a photo; None without one, as in most that only hold edits.

    Raises:
        ValueError: It is no XMP.
    """
    texts = texts_of(read_packet(body), DESCRIPTION)
    return clean(texts[0]) if texts else None


def clean(text: str) -> str:
    """Return a text as one line of at most `LONGEST_CAPTION` characters, without invisible ones.

    Of a very long text only the start is looked at.
    """
    words = drop_invisible(" ".join(text[: LONGEST_CAPTION * 20].split()))
    return " ".join(words.split())[:LONGEST_CAPTION].rstrip()


def parse_table(name: str, body: bytes) -> Iterator[tuple[str, str]]:
    """Yield the file name and the caption of each row; the name is empty in a row without one.

    Args:
        name: Name of the table; its suffix tells the format.
        body: Its content.

    Raises:
        One of `PARSE_ERRORS`: It is no such table, or has more rows or longer ones than the limits allow.
    """
    kind = name.lower().rpartition(".")[2]
    rows = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}[kind](body)
    has_captions = False
    row: Mapping[str, Any] = {}
    for number, row in enumerate(rows, start=1):
        if number > _TABLE_LIMITS.num_rows:
            raise ValueError(f"expected at most {_TABLE_LIMITS.num_rows:,} rows, found more")
        if any(column in row for column in _CAPTION_COLUMNS):
            has_captions = True
            file_name, caption = _name_of(row), _caption_of(row)
            if file_name or caption:  # spreadsheets leave empty rows
                yield file_name, caption
    if row and not has_captions:
        raise _no_caption(row)


def _read_csv(body: bytes) -> Iterator[Mapping[str, Any]]:
    text = _decode(body)
    header = io.StringIO(text[:_LONGEST_RECORD], newline="").readline().rstrip("\r\n")
    delimiter = next((sign for sign in _DELIMITERS if _has_name(next(csv.reader([header], delimiter=sign), []))), ",")
    lines = _Records(text)
    reader = csv.DictReader(lines, restkey=_BEYOND, delimiter=delimiter)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    for row in reader:
        if lines.is_at_end:  # the reader looked for the end of a quoted text
            raise ValueError("the last row begins a text with a double quote and never ends it")
        if any(cell.strip() for cell in row.pop(_BEYOND, ())):
            fault = f"line {reader.line_num} has more cells than the header"
            raise ValueError(f"{fault}; put captions with {delimiter!r} between double quotes")
        lines.begin()
        yield row


def _read_jsonl(body: bytes) -> Iterator[Mapping[str, Any]]:
    lines = _Records(_decode(body))
    for line in lines:
        lines.begin()
        if line.strip():
            yield json.loads(line)


def _read_parquet(body: bytes) -> Iterator[Mapping[str, Any]]:
    for batch in read_columns(body, [*_NAME_COLUMNS, *_CAPTION_COLUMNS], _TABLE_LIMITS):
        yield from batch.to_pylist()


class _Records:
    """The lines of a text; refuses a record, of one or several lines, that is too long.

    Attributes:
        is_at_end: Whether a line was asked for after the last one.
    """

    def __init__(self, text: str):
        self.is_at_end = False
        self._lines = io.StringIO(text, newline="")
        self._length = 0

    def begin(self) -> None:
        """Begin to count the next record."""
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._length += len(line)
            if self._length > _LONGEST_RECORD:
                raise ValueError(f"expected rows of at most {_LONGEST_RECORD:,} characters, found a longer one")
            yield line
        self.is_at_end = True


def _has_name(columns: Sequence[str]) -> bool:
    return any(column.strip().lower() in _NAME_COLUMNS for column in columns)


def _name_of(row: Mapping[str, Any]) -> str:
    for column in _NAME_COLUMNS:
        name = row.get(column)
        if isinstance(name, str):
            return name
        if name is not None:
            raise ValueError(f"found a {type(name).__name__} as {column}")
    if any(column in row for column in _NAME_COLUMNS):
        return ""
    raise ValueError(f"found no column {_NAME_COLUMNS[0]}, only {_list_columns(row)}")


def _caption_of(row: Mapping[str, Any]) -> str:
    known = [column for column in _CAPTION_COLUMNS if column in row]
    if not known:
        raise _no_caption(row)
    for column in known:
        value = row[column]
        if isinstance(value, list | dict):
            raise ValueError(f"found a {type(value).__name__} as {column}")
        if value and value == value:  # not NaN, by which data frames mean no value
            return clean(str(value))
    return ""


def _no_caption(row: Mapping[str, Any]) -> ValueError:
    return ValueError(f"found no {' or '.join(_CAPTION_COLUMNS)}, only {_list_columns(row)}")


def _list_columns(row: Mapping[str, Any]) -> str:
    names = [str(name)[:40] for name in row]
    return ", ".join(names[:_MOST_NAMED]) + (" and others" if len(names) > _MOST_NAMED else "") if names else "nothing"


def _decode(body: bytes) -> str:
    is_utf16 = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return body.decode("utf-16" if is_utf16 else "utf-8-sig")
