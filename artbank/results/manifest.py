"""The tasks of one run, frozen and cut into shards.

A manifest is one Parquet file whose row groups are the shards. Its id is a hash of its bytes. The
bytes also name the parts that existed when the run was planned, so work that comes up a second time
gets another manifest, and shards that have no part yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ResultsError
from artbank.records.photo_records import PhotoTask, Result
from artbank.results import layout, ledger
from artbank.results.snapshots import PartListing
from artbank.runtime.hashing import full_hash, short_hash
from artbank.store.objects import Store
from artbank.store.parquet import ParquetBytes, table_bytes

_RECIPES = b"artbank.recipes"
_AFTER = b"artbank.after"
_LEDGER = b"artbank.ledger"


@dataclass(frozen=True)
class Shard:
    """One row group of a manifest: the unit of work, retry and commit.

    Attributes:
        id: The manifest's id and the number of the row group.
        row_group: Its number, from 0.
        num_photos: Its tasks.
    """

    id: str
    row_group: int
    num_photos: int

    @property
    def manifest_id(self) -> str:
        """The manifest that it is part of."""
        return manifest_of(self.id)


class Manifest:
    """The tasks of one run. It never changes, so keep it open as long as shards of the run are worked on.

    Attributes:
        id: First 16 hex digits of the SHA-256 of its bytes.
        shards: In the order of their photos.
        recipes: The recipe id of each style.
        after: Rows of the run must be newer than this time, whatever a worker's clock says; None
            for a first run.
    """

    def __init__(self, output: Store, manifest_id: str, data: bytes):
        """Take the bytes of a manifest that was read already; `open` reads them.

        Raises:
            ResultsError: The bytes are not those that the manifest is named by, or are no manifest.
        """
        if short_hash(data) != manifest_id:
            raise _damaged(output, manifest_id)
        self.id = manifest_id
        self._output = output
        try:
            self._file = ParquetBytes(data)
            facts = self._file.schema.metadata or {}
            sizes = enumerate(self._file.row_group_sizes())
            self.shards = [Shard(_shard_id(manifest_id, number), number, size) for number, size in sizes]
            self.recipes: dict[str, str] = json.loads(facts[_RECIPES])
            after = facts.get(_AFTER, b"").decode()
            self.after = _parse_time(after) if after else None
        except (pa.ArrowException, ValueError, KeyError, RecursionError) as error:
            raise _unreadable(output, manifest_id, error) from error

    @classmethod
    def write(
        cls,
        output: Store,
        tasks: pa.Table,
        shard_size: int,
        recipes: Mapping[str, str],
        *,
        after: datetime | None = None,
        parts: PartListing | None = None,
    ) -> Self | None:
        """Freeze the tasks of a run. Without tasks it writes nothing and returns None.

        Args:
            output: Where the results go.
            tasks: From `pending.find_pending`.
            shard_size: Tasks in a shard, 1 or more.
            recipes: The recipe id of each style.
            after: From `pending.find_latest`.
            parts: The parts whose rows the tasks were found with, from `ledger.list_parts`; listed now when None.

        Raises:
            ResultsError: The store has a damaged manifest of the same id.
        """
        if not len(tasks):
            return None
        part_names = (parts or ledger.list_parts(output)).etags
        facts = {
            **(PhotoTask.SCHEMA.metadata or {}),
            _RECIPES: json.dumps(recipes, sort_keys=True).encode(),
            _AFTER: after.isoformat().encode() if after else b"",
            _LEDGER: full_hash("\n".join(part_names)).encode(),
        }
        data = table_bytes(tasks.replace_schema_metadata(facts), row_group_size=shard_size)
        manifest_id = short_hash(data)
        if not output.create(layout.manifest_key(manifest_id), data):
            raise _damaged(output, manifest_id)
        return cls(output, manifest_id, data)

    @classmethod
    def open(cls, output: Store, manifest_id: str) -> Self:
        """Read a manifest.

        Raises:
            FileNotFoundError: It is gone; plan the run again.
            ResultsError: It is damaged.
        """
        return cls(output, manifest_id, output.read(layout.manifest_key(manifest_id)))

    @cached_property
    def _by_id(self) -> dict[str, Shard]:
        return {shard.id: shard for shard in self.shards}

    def find_shard(self, shard_id: str) -> Shard:
        """Return the shard of an id.

        Raises:
            ResultsError: The manifest has no such shard.
        """
        if (shard := self._by_id.get(shard_id)) is not None:
            return shard
        raise ResultsError(
            f"expected a shard of manifest {self.id}, which has {len(self.shards)}, found {shard_id}; "
            f"if there is a mark results/_begun-{shard_id}, let `artbank verify --repair` delete it"
        )

    def tasks(self, shard: Shard) -> list[PhotoTask]:
        """Read the tasks of a shard.

        Raises:
            ResultsError: They cannot be read.
        """
        return PhotoTask.from_table(self._read(PhotoTask.SCHEMA.names, shard.row_group))

    def known_rows(self, shard: Shard) -> dict[tuple[str, str], Result]:
        """Return, by key and style, the rows that a shard's photos keep if their content is the `known_sha256`.

        Such a row is committed again with the photo's new size and etag. The first call that finds
        a photo with a `known_sha256` reads all parts.

        Raises:
            ResultsError: A part cannot be read.
        """
        tasks = [task for task in self.tasks(shard) if task.known_sha256 is not None]
        if not tasks:
            return {}
        wanted = {
            (task.key, style): (task.known_sha256, self.recipes[style], task.caption)
            for task in tasks
            for style in task.styles
        }
        rows = Result.from_table(self._known.filter(pc.field("key").isin([task.key for task in tasks])))
        return {
            (row.key, row.style): row
            for row in rows
            if wanted.get((row.key, row.style)) == (row.sha256, row.recipe_id, row.given_caption)
        }

    def list_pairs(self) -> pa.Table:
        """Return `shard`, `key`, `size`, `etag` and `style` of each photo and style that is to be done."""
        tasks = self._read(["key", "size", "etag", "styles"]).combine_chunks()
        numbers = np.repeat(np.arange(len(self.shards)), [shard.num_photos for shard in self.shards])
        ids = pa.array([shard.id for shard in self.shards], pa.string()).take(pa.array(numbers))
        photo_of = pc.list_parent_indices(tasks["styles"])  # one index for each photo and style
        photos = tasks.drop_columns(["styles"]).append_column("shard", ids)
        return photos.take(photo_of).append_column("style", pc.list_flatten(tasks["styles"]))

    @cached_property
    def _known(self) -> pa.Table:
        """The latest rows of all photos that have a `known_sha256`."""
        tasks = self._read(["key", "known_sha256"])
        keys = tasks.filter(pc.field("known_sha256").is_valid())["key"].combine_chunks()
        return ledger.latest_rows(ledger.read_ledger(self._output)).filter(pc.field("key").isin(keys))

    def _read(self, columns: Sequence[str], row_group: int | None = None) -> pa.Table:
        try:
            return self._file.read(PhotoTask.SCHEMA, columns, row_group)
        except pa.ArrowException as error:
            raise _unreadable(self._output, self.id, error) from error


def manifest_of(shard_id: str) -> str:
    """Return the id of the manifest that a shard is part of."""
    return shard_id.rpartition("-")[0]


def _damaged(output: Store, manifest_id: str) -> ResultsError:
    return ResultsError(
        f"{output.uri_of(layout.manifest_key(manifest_id))} is named by a hash of its bytes, but has other bytes; "
        f"restore it, or delete it with the marks results/_begun-{manifest_id}-*, and run again"
    )


def _unreadable(output: Store, manifest_id: str, error: Exception) -> ResultsError:
    reason = " ".join(str(error).split())
    return ResultsError(
        f"{output.uri_of(layout.manifest_key(manifest_id))} should be a manifest, but cannot be read ({reason}); "
        f"delete it with the marks results/_begun-{manifest_id}-*, and run again"
    )


def _parse_time(text: str) -> datetime:
    """Parse a time with its zone; raises ValueError for anything else."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time {text} has no zone")
    return time


def _shard_id(manifest_id: str, number: int) -> str:
    return f"{manifest_id}-{number:05d}"
