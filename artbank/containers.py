"""Pictures in containers: one file for all that a shard made in one style.

    <output>/<style>/<shard>.tar        WebDataset: `<16 hex digits of its key>.jpg` and `.json` of each picture
    <output>/<style>/<shard>.parquet    a row for each picture; the column `image` is what `datasets` takes for images
    <output>/results/_trimmed.json      size and number of pictures of the containers that were written anew

A container is written once all its pictures are there, before its shard's part, and the same pictures and rows give the
same bytes. A row's `file_name` is then its container's; its `file_size` and `file_sha256` are its picture's. When rows
of other shards take their place, pictures are taken out of a container, so that who reads all of a style's containers
sees every picture once.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artbank.config import OutputFormat
from artbank.errors import ImageError
from artbank.records import Result
from artbank.snapshots import Collected
from artbank.storage import Store

logger = logging.getLogger(__name__)

COLUMNS = (
    *("key", "style", "width_px", "height_px", "seed", "recipe_id"),
    *("clip_style", "clip_text", "clip_content", "clip_direction", "ssim", "flags"),
)
"""What is said of each picture beside it: columns of `Result`."""

_SUFFIXES: dict[OutputFormat, str] = {"webdataset": ".tar", "parquet": ".parquet"}
_CONTAINER = r"\.(tar|parquet)$"  # no picture's own name ends so, see `names`
_SHARD = re.compile(r"[0-9a-f]{16}-\d{5,}")
_IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_FEATURES = json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})  # `datasets` finds the others itself
_SCHEMA = pa.schema([_IMAGE, *map(Result.SCHEMA.field, COLUMNS)], {"huggingface": _FEATURES})
_ROWS_IN_GROUP, _BYTES_IN_GROUP = 100, 100_000_000  # readers of Parquet hold a row group in memory
_TRIMMED = "_trimmed.json"


@dataclass(frozen=True)
class Sample:
    """A picture in a container.

    Attributes:
        facts: `COLUMNS` of its row.
        name: A file name with the picture's suffix; in Parquet the whole of its name below the style.
        data: Its bytes.
    """

    facts: Mapping[str, Any]
    name: str
    data: bytes

    @classmethod
    def of(cls, row: Result, name: str, data: bytes) -> Self:
        """Return the sample of a row."""
        return cls({column: getattr(row, column) for column in COLUMNS}, name, data)

    @property
    def key(self) -> str:
        """Its photo's."""
        return self.facts["key"]


def container_key(style: str, shard_id: str, output_format: OutputFormat) -> str:
    """Return where the container of a shard's pictures in a style lies."""
    return f"{style}/{shard_id}{_SUFFIXES[output_format]}"


def is_container(file_name: str) -> bool:
    """Tell whether a row's `file_name` is a container's and not a picture's own."""
    return re.search(_CONTAINER, file_name) is not None


def are_images(file_names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Tell for each `file_name` whether it is a picture's own; null where there is none."""
    return pc.invert(pc.match_substring_regex(file_names, _CONTAINER))


def pack(name: str, samples: Iterable[Sample]) -> bytes:
    """Return the bytes of a container; the same whatever order its samples come in.

    Args:
        name: Its `container_key`.
        samples: No two of one photo.
    """
    ordered = sorted(samples, key=lambda sample: sample.key)
    return _pack_tar(ordered) if name.endswith(".tar") else _pack_parquet(ordered)


def unpack(name: str, data: bytes) -> list[Sample]:
    """Return what is in a container.

    Raises:
        ImageError: It is damaged.
    """
    try:
        return list(_unpack_tar(data) if name.endswith(".tar") else _unpack_parquet(data))
    except (tarfile.TarError, pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        text = " ".join(str(error).split())
        raise ImageError(f"its container is not as it was written: {text}", "damaged") from error


def read_pictures(output: Store, rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], bytes | Exception]:
    """Read the pictures of rows, wherever they are; each container is read once, one at a time.

    Args:
        output: Where they are.
        rows: With `key`, `style` and `file_name`.

    Returns:
        Bytes by key and style. In their place, what the store raised, or an `ImageError` where the container is damaged
        or does not hold the picture.
    """
    names = {(row["key"], row["style"]): row["file_name"] for row in rows}
    files = output.read_many([name for name in names.values() if not is_container(name)])
    found = {pair: files[name] for pair, name in names.items() if name in files}
    wanted: dict[str, list[tuple[str, str]]] = {}
    for pair, name in names.items():
        if name not in files:
            wanted.setdefault(name, []).append(pair)
    for name, pairs in wanted.items():
        held = _open(output, name)
        found |= {pair: held.get(pair[0], _ABSENT) if isinstance(held, dict) else held for pair in pairs}
    return found


def drop_stale(output: Store, parts: Store, collected: Collected, is_current: np.ndarray) -> None:
    """Take out of the containers what no current row names there; delete those of which nothing is left.

    Every picture of a current row is there before, after and meanwhile. A container is read only where rows say that
    something is to be taken out, and once: what it came to is noted.

    Args:
        output: Where the containers are.
        parts: The folder of the parts.
        collected: The ledger, with `key`, `status` and `file_name`.
        is_current: Which of its rows are.

    Raises:
        OSError: The store failed.
    """
    named = _name_members(collected.rows, is_current)
    if not len(named):
        return
    sizes, counts = _list_containers(output, named), _count_members(named)
    loose = [name for name in sizes if name not in counts]
    begun = _find_shards(parts) if loose else set()  # listed after the containers: who writes one has left a mark
    unused = [name for name in loose if _shard_of(name) not in begun]
    unused += [name for name in sizes if name in counts and not counts[name][1]]
    output.delete_many(unused)
    touched = {
        name: now
        for name, (ever, now) in counts.items()
        if name in sizes and now and (ever != now or f"part-{_shard_of(name)}.parquet" not in collected.inventory.etags)
    }
    if touched:
        _trim(output, parts, named, {name: (sizes[name], now) for name, now in touched.items()})


def _trim(output: Store, parts: Store, named: pa.Table, touched: Mapping[str, tuple[int, int]]) -> None:
    """Write containers anew that hold more than their rows say, by their sizes and numbers of pictures."""
    known = _read_trimmed(parts)
    trimmed = {name: facts for name, facts in touched.items() if known.get(name) == [*facts]}
    for name, keys in _wanted_keys(named, touched.keys() - trimmed.keys()).items():
        try:
            samples = unpack(name, output.read(name))
        except (FileNotFoundError, ImageError) as error:
            logger.warning("%s cannot be read, see to it by `artbank verify`: %s", output.uri_of(name), error)
            continue
        kept = [sample for sample in samples if sample.key in keys]
        data = pack(name, kept)
        if len(kept) < len(samples):
            output.write(name, data)
        if len(kept) == len(keys):
            trimmed[name] = (len(data), len(kept))
    if (facts := {name: [*trimmed[name]] for name in sorted(trimmed)}) != known:
        parts.write(_TRIMMED, json.dumps(facts).encode())


def _name_members(ledger: pa.Table, is_current: np.ndarray) -> pa.Table:
    """Return `file_name` and `key` of all that containers were ever said to hold, and whether a current row says so."""
    rows = ledger.select(["file_name", "key", "status"]).append_column("current", pa.array(is_current))
    rows = rows.filter(pc.invert(are_images(rows["file_name"]))).filter(pc.field("status") == "done")
    named = rows.group_by(["file_name", "key"], use_threads=False).aggregate([("current", "any")])
    return named.rename_columns(["file_name", "key", "current"])


def _count_members(named: pa.Table) -> dict[str, tuple[int, int]]:
    """Return how many pictures each container was ever said to hold, and how many it is by current rows."""
    counted = named.group_by("file_name").aggregate([("key", "count"), ("current", "sum")]).to_pylist()
    return {row["file_name"]: (row["key_count"], row["current_sum"]) for row in counted}


def _wanted_keys(named: pa.Table, names: Collection[str]) -> dict[str, set[str]]:
    chosen = named.filter(pc.field("current") & pc.field("file_name").isin(pa.array(list(names), pa.string())))
    keys: dict[str, set[str]] = {}
    for row in chosen.to_pylist():
        keys.setdefault(row["file_name"], set()).add(row["key"])
    return keys


def _list_containers(output: Store, named: pa.Table) -> dict[str, int]:
    """Return the sizes of the containers that are there, in the folders of the styles that have some."""
    styles = {name.partition("/")[0] for name in pc.unique(named["file_name"]).to_pylist()}
    listed = [stored for style in sorted(styles) for stored in output.scan(style)]
    return {found.key: found.size for found in listed if found.key.count("/") == 1 and _is_ours(found.key)}


def _is_ours(key: str) -> bool:
    return is_container(key) and _SHARD.fullmatch(_shard_of(key)) is not None


def _shard_of(name: str) -> str:
    return PurePosixPath(name).stem


def _find_shards(parts: Store) -> set[str]:
    """Return the ids of all shards that have a part or a mark."""
    return {shard for stored in parts.scan() for shard in _SHARD.findall(stored.key)}


def _read_trimmed(parts: Store) -> dict[str, list[int]]:
    try:
        return json.loads(parts.read(_TRIMMED))
    except (FileNotFoundError, ValueError):  # what it says is found out again
        return {}


def _open(output: Store, name: str) -> dict[str, bytes] | Exception:
    data = output.read_many([name])[name]
    if isinstance(data, Exception):
        return data
    try:
        return {sample.key: sample.data for sample in unpack(name, data)}
    except ImageError as error:
        return error


_ABSENT = ImageError("is not in its container", "damaged")


def _pack_tar(samples: Sequence[Sample]) -> bytes:
    blocks: list[bytes] = []
    for sample in samples:
        base, suffix = _digest(sample.key), PurePosixPath(sample.name).suffix.lower().replace(".jpeg", ".jpg")
        facts = json.dumps(dict(sample.facts), sort_keys=True).encode()
        for name, data in ((f"{base}{suffix}", sample.data), (f"{base}.json", facts)):
            entry = tarfile.TarInfo(name)  # of nobody, and of the year 1970
            entry.size = len(data)
            blocks += [entry.tobuf(tarfile.USTAR_FORMAT), data, _padding(len(data))]
    return b"".join([*blocks, bytes(2 * tarfile.BLOCKSIZE)])


def _unpack_tar(data: bytes) -> Iterator[Sample]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        entries = tar.getmembers()
        files = {entry.name: _read_entry(tar, entry) for entry in entries}
    end = max((entry.offset_data + entry.size + len(_padding(entry.size)) for entry in entries), default=0)
    if len(data) != end + 2 * tarfile.BLOCKSIZE:  # who reads a tar ends at a header that is damaged or cut off
        raise ValueError(f"expected its end after {end:,} bytes, found {len(data) - end:,} more")
    for name in files:
        if not name.endswith(".json"):
            base = name.partition(".")[0]
            facts = json.loads(files[f"{base}.json"])
            if _digest(facts["key"]) != base:
                raise ValueError(f"{base}.json is of another picture")
            yield Sample(facts, name, files[name])


def _read_entry(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    if file is None:
        raise ValueError(f"{entry.name} is no file")
    return file.read()


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _pack_parquet(samples: Sequence[Sample]) -> bytes:
    sink = io.BytesIO()
    options: dict[str, Any] = {"write_statistics": False, "use_dictionary": False, "write_page_checksum": True}
    with pq.ParquetWriter(sink, _SCHEMA, compression="zstd", **options) as writer:
        for group in _cut(samples):
            rows = [{"image": {"bytes": s.data, "path": s.name}, **s.facts} for s in group]
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
    return sink.getvalue()


def _cut(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    """Cut samples into row groups."""
    start, size = 0, 0
    for place, sample in enumerate(samples):
        size += len(sample.data)
        if place > start and (size > _BYTES_IN_GROUP or place == start + _ROWS_IN_GROUP):
            yield samples[start:place]
            start, size = place, len(sample.data)
    if samples:
        yield samples[start:]


def _unpack_parquet(data: bytes) -> Iterator[Sample]:
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    for number in range(file.num_row_groups):
        for row in file.read_row_group(number).to_pylist():
            image = row.pop("image")
            yield Sample({column: row[column] for column in COLUMNS}, image["path"], image["bytes"])
