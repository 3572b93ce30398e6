"""Containers: one file for all pictures of a shard in one style.

    <output>/<style>/<shard>.tar        WebDataset: `<16 hex digits>.jpg` and `.json` of each picture
    <output>/<style>/<shard>.parquet    a row for each picture; Hugging Face `datasets` reads the column `image`

The hex digits are a hash of the photo's key. A container is written once all its pictures are
drawn, and before the shard's part. The same pictures and rows give the same bytes. A row's
`file_name` is then that of the container; its `file_size` and `file_sha256` are still those of the
picture.
"""

from __future__ import annotations

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
from more_itertools import sliced

from artbank.errors import ImageError
from artbank.parameters.stylize_config import OutputFormat
from artbank.records.photo_records import Result
from artbank.results.filenames import output_name
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store
from artbank.store.parquet import ParquetBytes

COLUMNS = (
    *("key", "style", "width_px", "height_px", "seed", "recipe_id"),
    *("clip_style", "clip_text", "clip_content", "clip_direction", "ssim", "flags", "mark"),
    *("dino_structure", "csd_style", "clip_texture", "caption", "prompt"),
)
"""Columns of `Result` that a container has beside each picture."""

# containers of older versions do not have these
_ADDED = ("mark", "dino_structure", "csd_style", "clip_texture", "caption", "prompt")
_SUFFIXES: dict[OutputFormat, str] = {"webdataset": ".tar", "parquet": ".parquet"}
_CONTAINER = r"\.(tar|parquet)$"  # no picture's own name ends like this, see `filenames`
_IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_FEATURES = json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})  # `datasets` infers the other columns
_SCHEMA = pa.schema([_IMAGE, *map(Result.SCHEMA.field, COLUMNS)], {"huggingface": _FEATURES})
_ROWS_IN_GROUP = 100
_BYTES_IN_GROUP = 100_000_000  # readers of Parquet hold a row group in memory


@dataclass(frozen=True)
class PackedPicture:
    """A picture in a container.

    Attributes:
        facts: `COLUMNS` of its row.
        name: In a tar a file name with the picture's suffix, in Parquet the picture's name below
            the style.
        data: The encoded picture.
    """

    facts: Mapping[str, Any]
    name: str
    data: bytes

    @classmethod
    def from_row(cls, row: Result, name: str, data: bytes) -> Self:
        """Return the packed picture of a row."""
        return cls({column: getattr(row, column) for column in COLUMNS}, name, data)

    @property
    def key(self) -> str:
        """The key of its photo."""
        return self.facts["key"]


def container_key(style: str, shard_id: str, output_format: OutputFormat) -> str:
    """Return the key of the container of a shard's pictures in a style."""
    return f"{style}/{shard_id}{_SUFFIXES[output_format]}"


def is_container(file_name: str) -> bool:
    """Return whether a row's `file_name` is that of a container."""
    return re.search(_CONTAINER, file_name) is not None


def are_images(file_names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Tell for each `file_name` whether it is that of a picture; null where there is none."""
    return pc.invert(pc.match_substring_regex(file_names, _CONTAINER))


def pack(name: str, pictures: Iterable[PackedPicture]) -> bytes:
    """Return the bytes of a container; the order of the pictures does not change them.

    Args:
        name: The `container_key`.
        pictures: At most one of each photo.
    """
    ordered = sorted(pictures, key=lambda picture: picture.key)
    return _pack_tar(ordered) if name.endswith(".tar") else _pack_parquet(ordered)


def unpack(name: str, data: bytes) -> list[PackedPicture]:
    """Return the pictures in a container.

    Raises:
        ImageError: The container is damaged.
    """
    try:
        return list(_unpack_tar(data) if name.endswith(".tar") else _unpack_parquet(data))
    except (tarfile.TarError, pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        text = " ".join(str(error).split())
        raise ImageError(f"its container is not as it was written: {text}", "damaged") from error


def cut_reads(rows: Sequence[Mapping[str, Any]], files_at_once: int) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Cut rows into those whose pictures are read at once: of some files, or of one container."""
    yield from sliced([row for row in rows if not is_container(row["file_name"])], files_at_once)
    packed: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if is_container(row["file_name"]):
            packed.setdefault(row["file_name"], []).append(row)
    yield from packed.values()


def read_pictures(
    output: Store, rows: Iterable[Mapping[str, Any]], sizes: Mapping[str, int] | None = None
) -> dict[tuple[str, str], bytes | Exception]:
    """Read the pictures of rows, from files and containers; each container is read once, one at a time.

    Args:
        output: Where the pictures are.
        rows: With `key`, `style` and `file_name`.
        sizes: Bytes of each file as it was listed; a file that is delivered with another size is an error. None to take
            each file as it is delivered.

    Returns:
        The bytes of each picture, by key and style. Instead of bytes, the store's error, or an
        `ImageError` where the container is damaged or does not hold the picture.
    """
    names = {(row["key"], row["style"]): row["file_name"] for row in rows}
    files = _read_files(output, [name for name in names.values() if not is_container(name)], sizes)
    contents = {pair: files[name] for pair, name in names.items() if name in files}
    in_containers: dict[str, list[tuple[str, str]]] = {}
    for pair, name in names.items():
        if name not in files:
            in_containers.setdefault(name, []).append(pair)
    for name, pairs in in_containers.items():
        members = _read_members(name, _read_files(output, [name], sizes)[name])
        for pair in pairs:
            contents[pair] = members if isinstance(members, Exception) else members.get(pair[0], _ABSENT)
    return contents


def _read_files(output: Store, names: Sequence[str], sizes: Mapping[str, int] | None) -> dict[str, bytes | Exception]:
    return output.read_many(names) if sizes is None else output.read_listed({name: sizes[name] for name in names})


def _read_members(name: str, data: bytes | Exception) -> dict[str, bytes] | Exception:
    if isinstance(data, Exception):
        return data
    try:
        return {picture.key: picture.data for picture in unpack(name, data)}
    except ImageError as error:
        return error


_ABSENT = ImageError("is not in its container", "damaged")


def _pack_tar(pictures: Sequence[PackedPicture]) -> bytes:
    blocks: list[bytes] = []
    for picture in pictures:
        base = short_hash(picture.key)
        suffix = _suffix_in_tar(picture.name)
        facts = json.dumps(dict(picture.facts), sort_keys=True).encode()
        for name, data in ((f"{base}{suffix}", picture.data), (f"{base}.json", facts)):
            entry = tarfile.TarInfo(name)  # without owner and time, so that the bytes are always the same
            entry.size = len(data)
            blocks += [entry.tobuf(tarfile.USTAR_FORMAT), data, _padding(len(data))]
    return b"".join([*blocks, bytes(2 * tarfile.BLOCKSIZE)])


def list_tar_columns(keys: Iterable[str]) -> list[tuple[str, str | pa.Schema]]:
    """Return the columns that readers of WebDataset find in tar files: `image`, `string`, or the columns of a struct.

    Args:
        keys: Those of the photos.
    """
    suffixes = sorted({_suffix_in_tar(output_name(key)) for key in keys})
    images = [(suffix.removeprefix("."), "image") for suffix in suffixes]
    facts = pa.schema([Result.SCHEMA.field(name) for name in sorted(COLUMNS)])
    return [*images, ("json", facts), ("__key__", "string"), ("__url__", "string")]


def _suffix_in_tar(name: str) -> str:
    return PurePosixPath(name).suffix.lower().replace(".jpeg", ".jpg")


def _unpack_tar(data: bytes) -> Iterator[PackedPicture]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        entries = tar.getmembers()
        files = {entry.name: _read_entry(tar, entry) for entry in entries}
    end = max((entry.offset_data + entry.size + len(_padding(entry.size)) for entry in entries), default=0)
    if len(data) != end + 2 * tarfile.BLOCKSIZE:  # tarfile stops without an error at a header that is damaged
        raise ValueError(f"expected its end after {end:,} bytes, found {len(data) - end:,} more")
    for name in files:
        if not name.endswith(".json"):
            base = name.partition(".")[0]
            facts = json.loads(files[f"{base}.json"])
            if short_hash(facts["key"]) != base:
                raise ValueError(f"{base}.json belongs to another picture")
            yield PackedPicture(facts, name, files[name])


def _read_entry(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    if file is None:
        raise ValueError(f"{entry.name} is not a file")
    return file.read()


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _pack_parquet(pictures: Sequence[PackedPicture]) -> bytes:
    sink = io.BytesIO()
    options: dict[str, Any] = {"write_statistics": False, "use_dictionary": False, "write_page_checksum": True}
    with pq.ParquetWriter(sink, _SCHEMA, compression="zstd", **options) as writer:
        for group in _split(pictures):
            rows = [{"image": {"bytes": picture.data, "path": picture.name}, **picture.facts} for picture in group]
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
    return sink.getvalue()


def _split(pictures: Sequence[PackedPicture]) -> Iterator[Sequence[PackedPicture]]:
    """Split pictures into row groups."""
    start = 0
    size = 0
    for place, picture in enumerate(pictures):
        size += len(picture.data)
        if place > start and (size > _BYTES_IN_GROUP or place == start + _ROWS_IN_GROUP):
            yield pictures[start:place]
            start = place
            size = len(picture.data)
    if pictures:
        yield pictures[start:]


def _unpack_parquet(data: bytes) -> Iterator[PackedPicture]:
    file = ParquetBytes(data, has_checksums=True)
    num_found = 0
    for batch in file.batches(_SCHEMA.names, batch_rows=_ROWS_IN_GROUP):
        for row in batch.to_pylist():
            image = row.pop("image")
            num_found += 1
            facts = {column: row.get(column) if column in _ADDED else row[column] for column in COLUMNS}
            yield PackedPicture(facts, image["path"], image["bytes"])
    if num_found != sum(file.row_group_sizes()):  # the reader stops without an error at some flipped bits
        raise ValueError(f"expected {sum(file.row_group_sizes()):,} pictures, found {num_found:,}")
