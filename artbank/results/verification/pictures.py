"""Check that every picture exists, with the size and the bytes that its row tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ImageError
from artbank.results.containers import are_images, read_pictures
from artbank.runtime.hashing import full_hash
from artbank.runtime.prefetch import prefetch
from artbank.store.objects import Store
from artbank.store.transient_errors import is_transient

Pictures = dict[tuple[str, str], bytes | Exception]
"""The bytes of pictures, or the error that reading them raised, by key and style."""

_BYTES_AT_ONCE = 64 * 2**20  # memory holds twice that: one batch is read while another is hashed
_FILES_AT_ONCE = 512
_MAX_PIXELS = 2**30  # no picture of ours is refused for its size
_RETRY_SECONDS = 2.0
_COLUMNS = ["key", "style", "file_name", "file_size", "file_sha256"]
_PLACE = ["key", "style", "file_name", "found_size"]
_FAULT = [("kind", pa.string()), ("text", pa.string())]


def find_faults(
    output: Store, done: pa.Table, files: pa.Table, *, quick: bool, progress: Callable[[int, int], None]
) -> pa.Table:
    """Check the pictures of done rows.

    Args:
        output: Where the pictures are.
        done: The rows, with `file_name`, `file_size` and `file_sha256`; older versions wrote no
            size and digest.
        files: Key and size of all files.
        quick: Compare names and sizes only; read no picture.
        progress: Called after every batch with the number of checked pictures, and of all.

    Returns:
        The rows whose picture is missing or damaged, with `kind` and `text`.
    """
    sizes = files.select(["key", "size"]).rename_columns(["file_name", "found_size"])
    rows = done.select(_COLUMNS).join(sizes, "file_name", join_type="left outer").combine_chunks()
    missing = rows.filter(pc.field("found_size").is_null())
    existing = rows.filter(pc.field("found_size").is_valid())
    written_size = pc.if_else(are_images(existing["file_name"]), existing["file_size"], None)  # unknown for a container
    expected_size = pc.coalesce(written_size, existing["found_size"])
    has_size = pc.and_(pc.equal(expected_size, existing["found_size"]), pc.greater(existing["found_size"], 0))
    faults = [
        _describe(missing, "missing_picture", lambda row: "is missing"),
        _describe(existing.filter(pc.invert(has_size)), "damaged_picture", _size_text),
    ]
    if not quick:
        faults += _read_faults(output, existing.filter(has_size).sort_by("file_name"), progress)
    all_faults = pa.concat_tables(faults).select(["key", "style", "kind", "text"])
    return all_faults.join(done.filter(pc.field("key").isin(all_faults["key"].combine_chunks())), ["key", "style"])


def _read_faults(output: Store, rows: pa.Table, progress: Callable[[int, int], None]) -> Iterator[pa.Table]:
    num_checked = 0
    with ThreadPoolExecutor() as pool:
        for batch, data in _read_ahead(output, rows):
            digests = batch["file_sha256"].to_pylist()
            checks = list(pool.map(_find_fault, [data[pair] for pair in _pairs(batch)], digests))
            bad = [number for number, fault in enumerate(checks) if fault]
            faults = [fault for fault in checks if fault]
            columns = [pa.array([fault[place] for fault in faults], pa.string()) for place in (0, 1)]
            yield _append(batch.take(pa.array(bad, pa.int64())), *columns)
            num_checked += len(batch)
            progress(num_checked, len(rows))


def _find_fault(data: bytes | Exception, digest: str | None) -> tuple[str, str] | None:
    """Return kind and text of a picture's fault; a picture without a known digest must be an image."""
    if isinstance(data, ImageError):
        return "damaged_picture", data.reason
    if isinstance(data, Exception):
        return "unread_picture", f"cannot be read from the store: {data}"
    if digest is not None:
        if full_hash(data) == digest:
            return None
        return "damaged_picture", "has other bytes than were written"
    from artbank.images.codec import decode  # which loads OpenCV and Pillow; a quick look decodes nothing

    try:
        decode(data, max_pixels=_MAX_PIXELS)
    except ImageError as error:
        return "damaged_picture", error.reason
    return None


def _read_ahead(output: Store, rows: pa.Table) -> Iterator[tuple[pa.Table, Pictures]]:
    """Yield batches of rows with their pictures; the next batch is read in the meantime."""
    with ThreadPoolExecutor(1) as reader:
        yield from prefetch(_batches(rows), lambda batch: reader.submit(_read, output, batch).result, depth=1)


def _read(output: Store, batch: pa.Table) -> tuple[pa.Table, Pictures]:
    """Read the pictures of a batch; pictures that the store fails to deliver are read a second time."""
    rows = batch.select(_PLACE).to_pylist()
    sizes = {row["file_name"]: row["found_size"] for row in rows}
    contents = read_pictures(output, rows, sizes)
    failed = {pair for pair, data in contents.items() if isinstance(data, Exception) and is_transient(data)}
    if failed:
        time.sleep(_RETRY_SECONDS)
        contents |= read_pictures(output, [row for row in rows if (row["key"], row["style"]) in failed], sizes)
    return batch, contents


def _batches(rows: pa.Table) -> Iterator[pa.Table]:
    """Cut rows, sorted by file, into batches of at most so many files and bytes.

    A larger file is a batch of its own; all rows of a container are in the same batch.
    """
    names = rows["file_name"].combine_chunks().dictionary_encode().indices.to_numpy()
    firsts = np.flatnonzero(np.diff(names, prepend=-1))  # a file's first row
    ends = np.cumsum(rows["found_size"].to_numpy()[firsts])
    starts = [*firsts.tolist(), len(rows)]
    start = 0
    while start < len(firsts):
        before = ends[start - 1] if start else 0
        fitting = int(np.searchsorted(ends, before + _BYTES_AT_ONCE, side="right"))
        stop = min(max(fitting, start + 1), start + _FILES_AT_ONCE)
        yield rows.slice(starts[start], starts[stop] - starts[start])
        start = stop


def _pairs(rows: pa.Table) -> list[tuple[str, str]]:
    return list(zip(rows["key"].to_pylist(), rows["style"].to_pylist(), strict=True))


def _describe(rows: pa.Table, kind: str, text: Callable[[dict[str, int]], str]) -> pa.Table:
    texts = [text(row) for row in rows.select(["file_size", "found_size"]).to_pylist()]
    return _append(rows, pa.array([kind] * len(rows), pa.string()), pa.array(texts, pa.string()))


def _size_text(row: dict[str, int]) -> str:
    if row["file_size"] is None:
        return "is empty"
    return f"has {row['found_size']:,} bytes, {row['file_size']:,} were written"


def _append(rows: pa.Table, kinds: pa.Array, texts: pa.Array) -> pa.Table:
    for (name, _), column in zip(_FAULT, (kinds, texts), strict=True):
        rows = rows.append_column(name, column)
    return rows
