"""Copies of the pictures that a person picked on the page of an output, in a folder or in a zip file.

A file of picks only selects rows of `results.parquet`; no name in it becomes a path. It is one of

    a table     CSV with the columns `photo`, `style`, `decision` and `stars`
    a list      one `style/photo` in each line

A copy has its picture's name; one of a container that which its file would have.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from artbank.errors import ConfigError
from artbank.results.containers import cut_reads, is_container, read_pictures
from artbank.results.filenames import output_name
from artbank.results.tables import read_finished
from artbank.runtime.hashing import full_hash
from artbank.store.explanations import explain
from artbank.store.keys import find_fault
from artbank.store.objects import Store

MOST_BYTES = 64_000_000
"""Size of the largest file of picks that is read."""

_COLUMNS = pa.schema([(name, pa.string()) for name in ("key", "style", "status", "file_name", "file_sha256")])
_HEAD = ("photo", "style", "decision", "stars")
_AT_ONCE = 32
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # equal pictures give equal bytes

Picks = Sequence[tuple[str, str]]
"""Style and photo of each picked picture."""


@dataclass
class Exported:
    """The outcome of an export.

    Attributes:
        num_written: Pictures that were copied.
        failed: Pictures that could not be copied, one sentence each.
    """

    num_written: int = 0
    failed: list[str] = field(default_factory=list)


def read_picks(path: Path, least_stars: int | None = None) -> list[tuple[str, str]]:
    """Read the picked pictures of a list or a table, in its order.

    Args:
        path: Downloaded from the page of an output.
        least_stars: Take what has at least so many stars and is not rejected, in place of what is picked.

    Raises:
        ConfigError: The file cannot be read or is no file of picks, or a name in it leads out of its folder.
    """
    text = _read_text(path)
    lines = [line for line in io.StringIO(text, newline=None) if line.strip()]  # names may hold U+2028
    is_table = bool(lines) and tuple(lines[0].strip().split(",")) == _HEAD
    if not is_table and least_stars is not None:
        raise ConfigError(f"{path}: expected a table with stars, found a list; download the CSV, or leave out --stars")
    picks = list(_read_table(path, text, least_stars)) if is_table else [_split(path, line) for line in lines]
    for style, key in picks:
        if (fault := find_fault(f"{style}/{key}")) is not None:
            raise ConfigError(f"{path}: {style}/{key} is no name of a picture: it has {fault}; download the file again")
    return list(dict.fromkeys(picks))


def find_rows(output: Store, picks: Picks) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of picked pictures, and a sentence for each pick without a picture.

    Raises:
        ConfigError: The place is no output, or its first run has not ended.
        ResultsError: Its `results.parquet` cannot be read.
    """
    table = read_finished(output, _COLUMNS)
    wanted = set(picks)
    names = zip(table["style"].to_pylist(), table["key"].to_pylist(), strict=True)
    places = {name: place for place, name in enumerate(names) if name in wanted}
    found_rows, missing = [], []
    for style, key in picks:
        row = table.slice(places[style, key], 1).to_pylist()[0] if (style, key) in places else None
        if row is None:
            missing.append(f"{style}/{key} is not in this output")
        elif row["status"] != "done" or row["file_name"] is None:
            missing.append(f"{style}/{key} has no picture: it failed")
        else:
            found_rows.append(row)
    return found_rows, missing


def export_folder(output: Store, rows: Sequence[Mapping[str, Any]], target: Store) -> Exported:
    """Copy pictures to a folder or a bucket, some dozens in memory at a time.

    Raises:
        ConfigError: One of the places lies in the other.
        OSError: A store failed.
    """
    if output.contains(target) or target.contains(output):
        raise ConfigError(f"expected a place outside {output.uri} for the picks, found {target.uri}; name another one")
    return _copy(output, rows, lambda name, data: target.write(name, data))


def export_zip(output: Store, rows: Sequence[Mapping[str, Any]], path: Path) -> Exported:
    """Copy pictures to a zip file, which is there once it is whole.

    Raises:
        OSError: The store or the disk failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as file:
            outcome = _copy(output, rows, lambda name, data: file.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return outcome


def _copy(output: Store, rows: Sequence[Mapping[str, Any]], write: Callable[[str, bytes], None]) -> Exported:
    outcome = Exported()
    for batch in cut_reads(rows, _AT_ONCE):
        pictures = read_pictures(output, batch)
        for row in batch:
            name = _copy_name(row)
            reason = _find_fault(name, pictures[row["key"], row["style"]], row["file_sha256"])
            if reason is not None:
                outcome.failed.append(f"{row['style']}/{row['key']}: {reason}")
                continue
            write(name, pictures[row["key"], row["style"]])  # pyright: ignore[reportArgumentType]
            outcome.num_written += 1
    return outcome


def _find_fault(name: str, data: bytes | Exception, sha256: str | None) -> str | None:
    if find_fault(name) is not None or "\\" in name:  # which separates folders where Windows unpacks a zip file
        return "its name in the output could lead out of a folder; it is not copied"
    if isinstance(data, FileNotFoundError):
        return "its file is missing; `artbank verify --repair` draws it again"
    if isinstance(data, Exception):
        return explain(data) if isinstance(data, OSError) else str(data)
    if sha256 is not None and full_hash(data) != sha256:
        return "it is not as its row says; `artbank verify --repair` draws it again"
    return None


def _copy_name(row: Mapping[str, Any]) -> str:
    if not is_container(row["file_name"]):
        return row["file_name"]
    return f"{row['style']}/{output_name(row['key'])}"


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"file of picks {path} cannot be read: {explain(error)}") from error
    if len(data) > MOST_BYTES:
        raise ConfigError(f"expected a file of picks of at most {MOST_BYTES // 10**6} MB, found a larger {path}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"expected text in UTF-8 in {path}, found other bytes; download the file again") from error


def _read_table(path: Path, text: str, least_stars: int | None) -> Iterator[tuple[str, str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            stars = int(row["stars"] or 0)
            is_rated = least_stars is not None and stars >= least_stars and row["decision"] != "reject"
            if is_rated or (least_stars is None and row["decision"] == "pick"):
                yield _unquote(row["style"]), _unquote(row["photo"])
    except (csv.Error, ValueError, TypeError) as error:
        raise ConfigError(f"{path}, line {reader.line_num}: {error}; download the file again") from error


def _unquote(text: str) -> str:
    """Take away the apostrophe that keeps a spreadsheet from taking a name for a formula."""
    return text[1:] if text[:1] == "'" and text[1:2] in ("'", "=", "+", "@", "\t", "-") else text


def _split(path: Path, line: str) -> tuple[str, str]:
    style, mark, key = line.strip("\r\n").partition("/")
    if not mark:
        raise ConfigError(f"{path}: expected lines such as style/photo.jpg, found {line!r}; download the file again")
    return style, key
