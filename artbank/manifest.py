"""What is there, minus what is done: the photos of one run, frozen and cut into shards.

A manifest is one Parquet file whose row groups are the shards. Its name is the hash of its bytes, which also tell what
the ledger held when it was planned: work that comes up a second time is another manifest, with shards that no part
stands for yet.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.utils import glob_translate

from artbank import attempts, results
from artbank.attempts import Mark
from artbank.errors import Failure, ResultsError
from artbank.names import find_ambiguous
from artbank.parquet import read_metadata, read_row_group, read_row_group_sizes, read_table, table_bytes
from artbank.records import PhotoTask, Result
from artbank.storage import Store

DONE_COLUMNS = ("key", "etag", "sha256", "style", "recipe_id", "status", "failure", "seconds", "created_at")
"""Columns of the ledger that planning needs."""

_PASSING = ["store_error", "damaged"]  # failures that say nothing about the photo: they never count as done
_LISTING = pa.schema([("key", pa.string()), ("size", pa.int64()), ("etag", pa.string())])
_TIME = Result.SCHEMA.field("created_at").type
_LISTED_AT_ONCE = 65_536
_RECIPES, _AFTER = b"artbank.recipes", b"artbank.after"
_TASK_KEYS = ["key", "size", "etag", "known_sha256"]


@dataclass(frozen=True)
class Shard:
    """One row group of a manifest: the unit of work, retry and commit."""

    id: str
    manifest_key: str
    row_group: int
    num_photos: int


def list_archive(archive: Store) -> pa.Table:
    """List the files of an archive as key, size and etag, by key; hidden files and folders are left out.

    What a million files take is in docs/design.md.
    """
    found, batches = archive.scan(), [_LISTING.empty_table()]
    while some := list(islice(found, _LISTED_AT_ONCE)):
        columns = [pa.array([getattr(stored, field.name) for stored in some], field.type) for field in _LISTING]
        batches.append(pa.table(columns, schema=_LISTING))
    return pa.concat_tables(batches).sort_by("key")


def choose(photos: pa.Table, *, include: Sequence[str], exclude: Sequence[str]) -> pa.Table:
    """Keep the photos of a listing that some glob includes, all where there is none, and no glob excludes.

    `*` and `?` stay within a folder, `**` goes through any number of them: `2024/**/*.jpg`.
    """
    wanted, unwanted = (re.compile("|".join(map(glob_translate, globs)) or r"(?!)") for globs in (include, exclude))
    keys = photos["key"].to_pylist() if include or exclude else []
    kept = [bool((not include or wanted.match(key)) and not unwanted.match(key)) for key in keys]
    return photos.filter(pa.array(kept, pa.bool_())) if include or exclude else photos


def read_done(output: Store, broken: Mapping[str, Mark] | None = None, *, keep_failed: bool = False) -> pa.Table:
    """Read the current rows, in `DONE_COLUMNS`, whose pictures are certainly theirs.

    A shard that broke off may have written pictures over those of older rows; these rows are left out.

    Args:
        output: Where the results are.
        broken: From `attempts.broken_off`; looked up when None.
        keep_failed: Keep failed rows all the same: there is no picture of theirs to be written over.

    Raises:
        ResultsError: A part cannot be read.
    """
    done = results.current(results.ledger(output, DONE_COLUMNS))
    for shard_id, mark in (attempts.broken_off(output) if broken is None else broken).items():
        names = [(task.key, style) for task in _tasks_of(output, shard_id) for style in task.styles]
        for style in {style for _, style in names}:
            keys = [key for key, other in names if other == style]
            overwritten = (pc.field("style") == style) & pc.field("key").isin(keys)
            overwritten &= pc.field("created_at") <= pa.scalar(mark.begun_at, _TIME)
            done = done.filter(~(overwritten & (pc.field("status") == "done") if keep_failed else overwritten))
    return done


def count_strikes(output: Store, broken: Mapping[str, Mark]) -> dict[str, int]:
    """Return the strikes against the photos of shards that broke off, by key; see `attempts`."""
    strikes: dict[str, int] = {}
    for shard_id, mark in broken.items():
        for task in _tasks_of(output, shard_id):
            strikes[task.key] = max(strikes.get(task.key, 0), task.strikes or 0, mark.count_strikes(task.key))
    return {key: count for key, count in strikes.items() if count}


def settle(output: Store) -> None:
    """Forget the shards that broke off, where all they had to do has been done since.

    That is so where the current row of each photo and style is younger and asks for the same picture: whoever may still
    be at such a shard writes the bytes that are there.
    """
    broken = attempts.broken_off(output)
    done = results.current(results.ledger(output, DONE_COLUMNS)) if broken else None
    for shard_id, mark in broken.items():
        manifest_key, tasks = results.manifest_key(shard_id.rpartition("-")[0]), _tasks_of(output, shard_id)
        recipes = json.loads(read_metadata(_read(output, manifest_key))[_RECIPES])
        asked = {(task.key, style, task.etag, recipes[style]) for task in tasks for style in task.styles}
        since = (pc.field("created_at") > pa.scalar(mark.begun_at, _TIME)) & pc.field("key").isin(
            [t.key for t in tasks]
        )
        assert done is not None
        rows = done.filter(since).to_pylist()
        if asked <= {(row["key"], row["style"], row["etag"], row["recipe_id"]) for row in rows}:
            attempts.forget(output, [shard_id])


def plan(
    photos: pa.Table,
    done: pa.Table,
    recipes: Mapping[str, str],
    *,
    retry_failed: bool,
    failures: Sequence[Failure] = (),
    strikes: Mapping[str, int] | None = None,
    archive: pa.Table | None = None,
) -> pa.Table:
    """Return the rows of `PhotoTask` for all that lacks, by key.

    A photo in a style is not lacking where its current row has the style's recipe and the photo's etag, and is done or
    failed for a reason that lies in the photo. If only the etag is another, `known_sha256` says the content that its
    row was made from: who finds the same content in the photo need not do it again. A photo of which some styles have
    such a row and others have none comes as two tasks.

    With `retry_failed` it is the other way round: what has a row of the style's recipe that failed is to do, and
    nothing else.

    Whether a name is ambiguous is a matter of all photos, and of those that are done and gone: they may come back.

    Args:
        photos: The archive, or what is chosen of it; see `list_archive` and `choose`.
        done: See `read_done`.
        recipes: The recipe id of each style to do.
        retry_failed: Whether failed photos are tried again, and only they.
        failures: The kinds of failure that are; all where there is none.
        strikes: See `count_strikes`.
        archive: All of the archive; `photos` when None.
    """
    if retry_failed:
        lacking = [_failed(photos, done, style, recipe, failures) for style, recipe in sorted(recipes.items())]
    else:
        lacking = [_lacking(photos, done, style, recipe) for style, recipe in sorted(recipes.items())]
    joined = pa.concat_tables([_no_tasks(), *lacking])
    grouped = joined.group_by(_TASK_KEYS, use_threads=False).aggregate([("style", "list")])
    tasks = grouped.rename_columns([*_TASK_KEYS, "styles"])
    against = [strikes.get(key) for key in tasks["key"].to_pylist()] if strikes else pa.nulls(len(tasks))
    tasks = tasks.append_column("strikes", pa.array(against, pa.int64()))
    marks = _mark_ambiguous(tasks, photos if archive is None else archive, done)
    tasks = tasks.append_column("is_ambiguous", marks).select(PhotoTask.SCHEMA.names)
    return tasks.sort_by([("key", "ascending"), ("known_sha256", "ascending")]).cast(PhotoTask.SCHEMA)


def find_latest(done: pa.Table, broken: Mapping[str, Mark]) -> datetime | None:
    """Return the latest time that rows and marks tell: what comes of a plan must be younger, whatever clocks say."""
    times = [mark.begun_at for mark in broken.values()]
    newest = pc.max(done["created_at"]).as_py()
    return max([*times, *([newest] if newest else [])], default=None)


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
        b"artbank.ledger": hashlib.sha256("\n".join(results.part_names(output)).encode()).hexdigest().encode(),
    }
    data = table_bytes(tasks.replace_schema_metadata(facts), row_group_size=shard_size)
    manifest_id = _id_of(data)
    key = results.manifest_key(manifest_id)
    if not output.create(key, data):
        raise _damaged(output, key)
    return _shards(manifest_id, data)


def read_shards(output: Store, manifest_id: str) -> list[Shard]:
    """Return the shards of a manifest that is there.

    Raises:
        FileNotFoundError: It is not.
        ResultsError: It is damaged.
    """
    return _shards(manifest_id, _read(output, results.manifest_key(manifest_id)))


def read_shard(output: Store, shard: Shard) -> list[PhotoTask]:
    """Return the tasks of a shard.

    Raises:
        FileNotFoundError: Its manifest is gone; plan again.
        ResultsError: Its manifest is damaged.
    """
    data = _read(output, shard.manifest_key)
    return PhotoTask.from_table(read_row_group(data, PhotoTask.SCHEMA, shard.row_group))


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
    recipes = json.loads(read_metadata(_read(output, shard.manifest_key))[_RECIPES])
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
    return asked.append_column("style", pc.list_flatten(tasks["styles"])), json.loads(read_metadata(data)[_RECIPES])


def _shards(manifest_id: str, data: bytes) -> list[Shard]:
    key = results.manifest_key(manifest_id)
    sizes = enumerate(read_row_group_sizes(data))
    return [Shard(f"{manifest_id}-{number:05d}", key, number, size) for number, size in sizes]


def _tasks_of(output: Store, shard_id: str) -> list[PhotoTask]:
    manifest_id, _, number = shard_id.rpartition("-")
    return read_shard(output, Shard(shard_id, results.manifest_key(manifest_id), int(number), 0))


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
    if key != results.manifest_key(_id_of(data)):
        raise _damaged(output, key)
    return data


@lru_cache(maxsize=1)  # all parts are read for it, so once for all shards of a run and not for each
def _read_known(output: Store, manifest_key: str) -> pa.Table:
    tasks = read_table(_read(output, manifest_key), PhotoTask.SCHEMA, ["key", "known_sha256"])
    keys = tasks.filter(pc.field("known_sha256").is_valid())["key"].combine_chunks()
    return results.current(results.ledger(output)).filter(pc.field("key").isin(keys))


def _failed(photos: pa.Table, done: pa.Table, style: str, recipe_id: str, failures: Sequence[Failure]) -> pa.Table:
    wanted = (pc.field("style") == style) & (pc.field("recipe_id") == recipe_id) & (pc.field("status") == "failed")
    if failures:
        wanted &= pc.field("failure").isin(list(failures))
    failed = photos.filter(pc.field("key").isin(done.filter(wanted)["key"].combine_chunks()))
    failed = failed.select(_LISTING.names).append_column("known_sha256", pa.nulls(len(failed), pa.string()))
    return failed.append_column("style", pa.repeat(pa.scalar(style), len(failed)))


def _lacking(photos: pa.Table, done: pa.Table, style: str, recipe_id: str) -> pa.Table:
    valid = (pc.field("style") == style) & (pc.field("recipe_id") == recipe_id)
    valid &= (pc.field("status") == "done") | ~pc.field("failure").isin(_PASSING)
    rows = done.filter(valid).select(["key", "etag", "sha256"]).rename_columns(["key", "done_etag", "known_sha256"])
    joined = photos.select(_LISTING.names).join(rows, "key", join_type="left outer")
    differs = pc.field("done_etag").is_null() | (pc.field("etag") != pc.field("done_etag"))
    lacking = joined.filter(differs).select(_TASK_KEYS)
    return lacking.append_column("style", pa.repeat(pa.scalar(style), len(lacking)))


def _mark_ambiguous(tasks: pa.Table, archive: pa.Table, done: pa.Table) -> pa.ChunkedArray:
    if not len(tasks):
        return pa.chunked_array([], pa.bool_())
    keys = pa.chunked_array([*archive["key"].chunks, *done["key"].chunks], pa.string())
    return pc.is_in(tasks["key"], value_set=find_ambiguous(keys))


def _no_tasks() -> pa.Table:
    return pa.schema([*map(PhotoTask.SCHEMA.field, _TASK_KEYS), pa.field("style", pa.string())]).empty_table()
