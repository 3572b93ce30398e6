"""Pictures in containers: one file for all that a shard made in one style.

    <output>/<style>/<shard>.tar        WebDataset: `<16 hex digits of its key>.jpg` and `.json` of each picture
    <output>/<style>/<shard>.parquet    a row for each picture; the column `image` is what `datasets` takes for images

A container is written once all its pictures are there, before its shard's part, and the same pictures and rows give the
same bytes. A row's `file_name` is then its container's; its `file_size` and `file_sha256` are its picture's.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artbank.config import OutputFormat
from artbank.errors import ImageError
from artbank.records import Result
from artbank.store.objects import Store

COLUMNS = (
    *("key", "style", "width_px", "height_px", "seed", "recipe_id"),
    *("clip_style", "clip_text", "clip_content", "clip_direction", "ssim", "flags"),
)
"""What is said of each picture beside it: columns of `Result`."""

_SUFFIXES: dict[OutputFormat, str] = {"webdataset": ".tar", "parquet": ".parquet"}
_CONTAINER = r"\.(tar|parquet)$"  # no picture's own name ends so, see `names`
_IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_FEATURES = json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})  # `datasets` finds the others itself
_SCHEMA = pa.schema([_IMAGE, *map(Result.SCHEMA.field, COLUMNS)], {"huggingface": _FEATURES})
_ROWS_IN_GROUP, _BYTES_IN_GROUP = 100, 100_000_000  # readers of Parquet hold a row group in memory


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
