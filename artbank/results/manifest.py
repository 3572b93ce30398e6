"""The photos of one run, frozen and cut into shards.

A manifest is one Parquet file whose row groups are the shards. Its name is the hash of its bytes, which also tell what
the ledger held when it was planned: work that comes up a second time is another manifest, with shards that no part
stands for yet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ResultsError
from artbank.records import PhotoTask, Result
from artbank.results import layout, ledger
from artbank.store.objects import Store
from artbank.store.parquet import read_metadata, read_row_group, read_row_group_sizes, read_table, table_bytes

_RECIPES, _AFTER = b"artbank.recipes", b"artbank.after"


@dataclass(frozen=True)
class Shard:
    """One row group of a manifest: the unit of work, retry and commit."""

    id: str
    manifest_key: str
    row_group: int
    num_photos: int


def write_manifest(
    output: Store,
    tasks: pa.Table,
    shard_size: int,
    recipes: Mapping[str, str],
    *,
    after: datetime | None = None,
) -> list[Shard]:
    """Freeze the tasks of a run; without tasks nothing is written.

    Args:
        output: Where the results go.
        tasks: See `plan`.
        shard_size: Tasks in a shard, 1 or more.
        recipes: The recipe id of each style.
        after: See `find_latest`.

    Raises:
        ResultsError: There is a damaged manifest of that name.
    """
    if not len(tasks):
        return []
    facts = {
        **(PhotoTask.SCHEMA.metadata or {}),
        _RECIPES: json.dumps(recipes, sort_keys=True).encode(),
        _AFTER: after.isoformat().encode() if after else b"",
        b"artbank.ledger": hashlib.sha256("\n".join(ledger.part_names(output)).encode()).hexdigest().encode(),
    }
    data = table_bytes(tasks.replace_schema_metadata(facts), row_group_size=shard_size)
    manifest_id = _id_of(data)
    key = layout.manifest_key(manifest_id)
    if not output.create(key, data):
        raise _damaged(output, key)
    return _shards(manifest_id, data)


def read_shards(output: Store, manifest_id: str) -> list[Shard]:
    """Return the shards of a manifest that is there.

    Raises:
        FileNotFoundError: It is not.
        ResultsError: It is damaged.
    """
    return _shards(manifest_id, _read(output, layout.manifest_key(manifest_id)))


def read_shard(output: Store, shard: Shard) -> list[PhotoTask]:
    """Return the tasks of a shard.

    Raises:
        FileNotFoundError: Its manifest is gone; plan again.
        ResultsError: Its manifest is damaged.
    """
    data = _read(output, shard.manifest_key)
    return PhotoTask.from_table(read_row_group(data, PhotoTask.SCHEMA, shard.row_group))


def read_tasks(output: Store, shard_id: str) -> list[PhotoTask]:
    """Return the tasks of a shard by its id.

    Raises:
        FileNotFoundError: Its manifest is gone.
        ResultsError: Its manifest is damaged.
    """
    manifest_id, _, number = shard_id.rpartition("-")
    return read_shard(output, Shard(shard_id, layout.manifest_key(manifest_id), int(number), 0))


def read_after(output: Store, shard: Shard) -> datetime | None:
    """Return what the rows of a shard must be younger than; None where there was nothing.

    Raises:
        FileNotFoundError: Its manifest is gone; plan again.
    """
    text = read_metadata(_read(output, shard.manifest_key)).get(_AFTER, b"").decode()
    return datetime.fromisoformat(text) if text else None


def read_known(output: Store, shard: Shard) -> dict[tuple[str, str], Result]:
    """Return, by key and style, the rows that a shard's photos keep if their content is the `known_sha256`.

    Such a row is committed again with the photo's new size and etag.

    Raises:
        FileNotFoundError: The shard's manifest is gone; plan again.
        ResultsError: A part cannot be read, or the manifest is damaged.
    """
    tasks = [task for task in read_shard(output, shard) if task.known_sha256 is not None]
    if not tasks:
        return {}
    recipes = _recipes(_read(output, shard.manifest_key))
    wanted = {(task.key, style): (task.known_sha256, recipes[style]) for task in tasks for style in task.styles}
    known = _read_known(output, shard.manifest_key)
    rows = Result.from_table(known.filter(pc.field("key").isin([task.key for task in tasks])))
    return {(r.key, r.style): r for r in rows if wanted.get((r.key, r.style)) == (r.sha256, r.recipe_id)}


def read_asked(manifest_id: str, data: bytes) -> tuple[pa.Table, dict[str, str]]:
    """Return what a manifest's shards were to do, one row for each photo and style, and its recipe ids by style.

    Args:
        manifest_id: Its name, which is the hash of its bytes.
        data: Its bytes.

    Returns:
        Columns `shard`, `key`, `size`, `etag` and `style`; the recipe ids.

    Raises:
        ResultsError: The bytes are not those that the manifest was named by.
    """
    if _id_of(data) != manifest_id:
        raise ResultsError(f"manifest {manifest_id} is not the file that it was written as")
    tasks = read_table(data, PhotoTask.SCHEMA, ["key", "size", "etag", "styles"]).combine_chunks()
    sizes = read_row_group_sizes(data)
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    ids = pa.array([f"{manifest_id}-{number:05d}" for number in range(len(sizes))], pa.string())
    owner = pc.list_parent_indices(tasks["styles"])
    asked = tasks.drop_columns(["styles"]).append_column("shard", ids.take(pa.array(numbers))).take(owner)
    return asked.append_column("style", pc.list_flatten(tasks["styles"])), _recipes(data)


def read_recipes(output: Store, shard_id: str) -> dict[str, str]:
    """Return the recipe id of each style of a shard's run.

    Raises:
        FileNotFoundError: Its manifest is gone.
        ResultsError: Its manifest is damaged.
    """
    return _recipes(_read(output, layout.manifest_key(shard_id.rpartition("-")[0])))


def _shards(manifest_id: str, data: bytes) -> list[Shard]:
    key = layout.manifest_key(manifest_id)
    sizes = enumerate(read_row_group_sizes(data))
    return [Shard(f"{manifest_id}-{number:05d}", key, number, size) for number, size in sizes]


def _recipes(data: bytes) -> dict[str, str]:
    return json.loads(read_metadata(data)[_RECIPES])


def _id_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _damaged(output: Store, key: str) -> ResultsError:
    return ResultsError(
        f"{output.uri_of(key)} should be the manifest whose hash its name is, but has other bytes; restore it, or "
        "delete it with the notes results/_begun-* that have its name, and run again"
    )


@lru_cache(maxsize=1)  # the next shard of this process is most likely of the same manifest, which never changes
def _read(output: Store, key: str) -> bytes:
    data = output.read(key)
    if key != layout.manifest_key(_id_of(data)):
        raise _damaged(output, key)
    return data


@lru_cache(maxsize=1)  # all parts are read for it, so once for all shards of a run and not for each
def _read_known(output: Store, manifest_key: str) -> pa.Table:
    tasks = read_table(_read(output, manifest_key), PhotoTask.SCHEMA, ["key", "known_sha256"])
    keys = tasks.filter(pc.field("known_sha256").is_valid())["key"].combine_chunks()
    return ledger.latest_rows(ledger.read_ledger(output)).filter(pc.field("key").isin(keys))
