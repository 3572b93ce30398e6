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

from artbank.captions.text_records import LONGEST_RECORD, EndlessRecord, Records
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
_ROWS_NAMED = 3
_ENDLESS_TEXT = "begins a text with a double quote and never ends it; it and the rows behind it are left out"
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

    Only the start of a very long text is looked at.
    """
    words = drop_invisible(" ".join(text[: LONGEST_CAPTION * 20].split()))
    return " ".join(words.split())[:LONGEST_CAPTION].rstrip()


class BadRows:
    """The rows of a table that cannot be read and are left out.

    Attributes:
        count: Their number.
        first: The first three: where each is, and what is wrong with it.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.count = 0
        self.first: list[str] = []

    def add(self, place: str, reason: object) -> None:
        """Add a row.

        Args:
            place: Such as `line 3`.
            reason: What is wrong with it.
        """
        self.count += 1
        if len(self.first) < _ROWS_NAMED:
            self.first.append(f"{place} {' '.join(str(reason).split())}")


def parse_table(name: str, body: bytes, bad_rows: BadRows) -> Iterator[tuple[str, str]]:
    """Yield the file name and the caption of each row; the name is empty in a row without one.

    Args:
        name: Name of the table; its suffix tells the format.
        body: Its content.
        bad_rows: Collects the rows that cannot be read, which do not cost the others.

    Raises:
        One of `PARSE_ERRORS`: It is no such table, has more rows than the limit, or no row that can be read.
    """
    kind = name.lower().rpartition(".")[2]
    rows = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}[kind](body, bad_rows)
    has_captions = False
    row: Mapping[str, Any] = {}
    for number, (place, row) in enumerate(rows, start=1):
        if number > _TABLE_LIMITS.num_rows:
            raise ValueError(f"expected at most {_TABLE_LIMITS.num_rows:,} rows, found more")
        if not any(column in row for column in _CAPTION_COLUMNS):
            continue
        try:
            file_name, caption = _name_of(row), _caption_of(row)
        except ValueError as error:
            bad_rows.add(place, error)
            continue
        has_captions = True
        if file_name or caption:  # spreadsheets leave empty rows
            yield file_name, caption
    if bad_rows.count and not has_captions:
        raise ValueError(bad_rows.first[0])
    if row and not has_captions:
        raise _no_caption(row)


def _read_csv(body: bytes, bad_rows: BadRows) -> Iterator[tuple[str, Mapping[str, Any]]]:
    text = _decode(body)
    header = io.StringIO(text[:LONGEST_RECORD], newline="").readline().rstrip("\r\n")
    delimiter = next((sign for sign in _DELIMITERS if _has_name(next(csv.reader([header], delimiter=sign), []))), ",")
    lines = Records(text, bad_rows.add, num_headers=1)
    reader = csv.DictReader(lines, restkey=_BEYOND, delimiter=delimiter)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    if reader.fieldnames and not any(column in reader.fieldnames for column in _CAPTION_COLUMNS):
        raise _no_caption(dict.fromkeys(reader.fieldnames))
    lines.begin()
    while (row := _next_row(reader, lines, bad_rows)) is not None:
        place = lines.place
        lines.begin()
        if any(cell.strip() for cell in row.pop(_BEYOND, ())):
            to_do = f"put captions with {delimiter!r} between double quotes"
            bad_rows.add(place, f"has more cells than the header; {to_do}")
            continue
        yield place, row


def _next_row(reader: csv.DictReader[Any], lines: Records, bad_rows: BadRows) -> dict[str, Any] | None:
    """Return the next row; None at the end, and after a quoted text that never ends: what is behind it is unknown."""
    while True:
        try:
            row = next(reader, None)
            if row is None or not lines.is_at_end:  # else the reader looked for the end of a quoted text
                return row
        except (csv.Error, EndlessRecord) as error:
            if lines.is_one_line:
                bad_rows.add(lines.place, f"cannot be read, {error}")
                lines.begin()
                continue
        bad_rows.add(lines.place, _ENDLESS_TEXT)
        return None


def _read_jsonl(body: bytes, bad_rows: BadRows) -> Iterator[tuple[str, Mapping[str, Any]]]:
    lines = Records(_decode(body), bad_rows.add, num_headers=0)
    for line in lines:
        place = lines.place
        lines.begin()
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            bad_rows.add(place, f"is no JSON: {error}")
            continue
        if isinstance(row, dict):
            yield place, row
        else:
            bad_rows.add(place, f"is a {type(row).__name__}, no object with a caption")


def _read_parquet(body: bytes, _: BadRows) -> Iterator[tuple[str, Mapping[str, Any]]]:
    number = 0
    for batch in read_columns(body, [*_NAME_COLUMNS, *_CAPTION_COLUMNS], _TABLE_LIMITS):
        for row in batch.to_pylist():
            number += 1
            yield f"row {number}:", row


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
    try:
        return body.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        fault = "whole UTF-16" if is_utf16 else f"UTF-8 from line {line} on"
        raise ValueError(f"its text is not {fault}; save it as UTF-8") from error
