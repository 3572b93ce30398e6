"""Whether pictures are as their rows say: there, of that size, with those bytes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ImageError
from artbank.images.codec import decode
from artbank.results.containers import are_images, read_pictures
from artbank.runtime.prefetch import prefetch
from artbank.store.objects import Store
from artbank.store.transient_errors import is_transient

Progress = Callable[[int, int], None]
"""Told how many pictures are looked at, and how many there are."""

Pictures = dict[tuple[str, str], bytes | Exception]
"""Their bytes, or what keeps us from them, by key and style."""

_BYTES_AT_ONCE = 64 * 2**20  # twice that is in memory: one batch is read while another is hashed
_FILES_AT_ONCE = 512
_MAX_PIXELS = 2**30  # ours are never refused for their size
_AGAIN_SECONDS = 2.0
_LOOKED_AT = ["key", "style", "file_name", "file_size", "file_sha256"]
_PLACE = ["key", "style", "file_name"]
_FAULT = [("kind", pa.string()), ("text", pa.string())]


def find_faults(output: Store, done: pa.Table, files: pa.Table, *, quick: bool, progress: Progress) -> pa.Table:
    """Look at the pictures of rows that say done.

    Args:
        output: Where they are.
        done: The rows, with `file_name`, `file_size` and `file_sha256`; rows of older versions lack the latter two.
        files: Key and size of what is there.
        quick: Compare names and sizes and read none.
        progress: Called after every batch.

    Returns:
        The rows of pictures that are not as they should be, with `kind` and `text`.
    """
    sizes = files.select(["key", "size"]).rename_columns(["file_name", "found_size"])
    seen = done.select(_LOOKED_AT).join(sizes, "file_name", join_type="left outer").combine_chunks()
    there = seen.filter(pc.field("found_size").is_valid())
    own_size = pc.if_else(are_images(there["file_name"]), there["file_size"], None)  # not that of a container
    fit = pc.coalesce(own_size, there["found_size"])
    same = pc.and_(pc.equal(fit, there["found_size"]), pc.greater(there["found_size"], 0))
    odd, sound = there.filter(pc.invert(same)), there.filter(same).sort_by("file_name")
    faults = [
        _tell(seen.filter(pc.field("found_size").is_null()), "missing_picture", lambda row: "is not there"),
        _tell(odd, "damaged_picture", _size_text),
    ]
    if not quick:
        faults += _read_faults(output, sound, progress)
    found = pa.concat_tables(faults).select(["key", "style", "kind", "text"])
    return found.join(done.filter(pc.field("key").isin(found["key"].combine_chunks())), ["key", "style"])


def _read_faults(output: Store, rows: pa.Table, progress: Progress) -> Iterator[pa.Table]:
    looked_at = 0
    with ThreadPoolExecutor() as pool:
        for batch, data in _read_ahead(output, rows):
            digests = batch["file_sha256"].to_pylist()
            found = list(pool.map(_fault, [data[pair] for pair in _pairs(batch)], digests))
            bad = [number for number, fault in enumerate(found) if fault]
            faults = [fault for fault in found if fault]
            columns = [pa.array([fault[place] for fault in faults], pa.string()) for place in (0, 1)]
            yield _append(batch.take(pa.array(bad, pa.int64())), *columns)
            looked_at += len(batch)
            progress(looked_at, len(rows))


def _fault(data: bytes | Exception, digest: str | None) -> tuple[str, str] | None:
    """Return kind and text of what is wrong with a file; without a digest it must be an image."""
    if isinstance(data, FileNotFoundError):
        return "missing_picture", "is not there"
    if isinstance(data, ImageError):
        return "damaged_picture", data.reason
    if isinstance(data, Exception):
        return "unread_picture", f"the store does not give it: {data}"
    if digest is not None:
        found = hashlib.sha256(data).hexdigest()
        return None if found == digest else ("damaged_picture", "its bytes are not those that were written")
    try:
        decode(data, max_pixels=_MAX_PIXELS)
    except ImageError as error:
        return "damaged_picture", error.reason
    return None


def _read_ahead(output: Store, rows: pa.Table) -> Iterator[tuple[pa.Table, Pictures]]:
    """Yield rows in batches with their pictures, the next batch being read meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        yield from prefetch(_batches(rows), lambda batch: reader.submit(_read, output, batch).result, depth=1)


def _read(output: Store, batch: pa.Table) -> tuple[pa.Table, Pictures]:
    found = read_pictures(output, batch.select(_PLACE).to_pylist())
    again = [pair for pair, data in found.items() if isinstance(data, Exception) and is_transient(data)]
    if again:
        time.sleep(_AGAIN_SECONDS)
        rows = zip(_pairs(batch), batch.select(_PLACE).to_pylist(), strict=True)
        found |= read_pictures(output, [row for pair, row in rows if pair in set(again)])
    return batch, found


def _batches(rows: pa.Table) -> Iterator[pa.Table]:
    """Cut rows, sorted by their files, where so many files, or their bytes, are together.

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


def _tell(rows: pa.Table, kind: str, text: Callable[[dict[str, int]], str]) -> pa.Table:
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
