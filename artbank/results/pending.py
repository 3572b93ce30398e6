"""What is there, minus what is done: the photos that a run works on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice

import pyarrow as pa
import pyarrow.compute as pc
from fsspec.utils import glob_translate

from artbank.errors import Failure
from artbank.records import PhotoTask, Result
from artbank.results import attempts, ledger
from artbank.results.attempts import Mark
from artbank.results.filenames import find_ambiguous
from artbank.results.manifest import Manifest, manifest_of
from artbank.store.objects import Store

DONE_COLUMNS = ("key", "etag", "sha256", "style", "recipe_id", "status", "failure", "seconds", "created_at")
"""Columns of the ledger that planning needs."""

_PASSING = ["store_error", "damaged"]  # failures that say nothing about the photo: they never count as done
_LISTING = pa.schema([("key", pa.string()), ("size", pa.int64()), ("etag", pa.string())])
_TIME = Result.SCHEMA.field("created_at").type
_LISTED_AT_ONCE = 65_536
_TASK_KEYS = ["key", "size", "etag", "known_sha256"]


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


@dataclass(frozen=True)
class UnfinishedShard:
    """A shard that was started and has no part.

    Attributes:
        id: The shard's id.
        mark: What its last attempt left.
        tasks: The photos that it was to do.
        recipes: The recipe id of each style of its run.
    """

    id: str
    mark: Mark
    tasks: Sequence[PhotoTask]
    recipes: Mapping[str, str]


def read_unfinished(output: Store) -> list[UnfinishedShard]:
    """Read the marks and the tasks of all shards that were started and have no part; opens each manifest once.

    Raises:
        FileNotFoundError: The manifest of such a shard is gone.
        ResultsError: A mark or a manifest is damaged.
    """
    return _read_unfinished(output, attempts.broken_off(output))


def read_done(
    output: Store, unfinished: Sequence[UnfinishedShard] | None = None, *, keep_failed: bool = False
) -> pa.Table:
    """Read the latest rows, in `DONE_COLUMNS`, without those whose picture may have been overwritten.

    A worker that stopped in the middle of a shard may have written pictures over those of older rows.

    Args:
        output: Where the results are.
        unfinished: From `read_unfinished`; read when None.
        keep_failed: Keep failed rows in any case: they have no picture.

    Raises:
        ResultsError: A part cannot be read.
    """
    done = ledger.latest_rows(ledger.read_ledger(output, DONE_COLUMNS))
    for shard in read_unfinished(output) if unfinished is None else unfinished:
        for style in {style for task in shard.tasks for style in task.styles}:
            keys = [task.key for task in shard.tasks if style in task.styles]
            overwritten = (pc.field("style") == style) & pc.field("key").isin(keys)
            overwritten &= pc.field("created_at") <= pa.scalar(shard.mark.begun_at, _TIME)
            if keep_failed:
                overwritten &= pc.field("status") == "done"
            done = done.filter(~overwritten)
    return done


def count_strikes(unfinished: Sequence[UnfinishedShard]) -> dict[str, int]:
    """Return the strikes against the photos of unfinished shards, by key; see `attempts`."""
    strikes: dict[str, int] = {}
    for shard in unfinished:
        for task in shard.tasks:
            known = max(task.strikes or 0, shard.mark.count_strikes(task.key))
            strikes[task.key] = max(strikes.get(task.key, 0), known)
    return {key: count for key, count in strikes.items() if count}


def find_latest(done: pa.Table, unfinished: Sequence[UnfinishedShard]) -> datetime | None:
    """Return the newest time in rows and marks; rows of the next run must be newer, whatever its clocks say."""
    times = [shard.mark.begun_at for shard in unfinished]
    newest = pc.max(done["created_at"]).as_py()
    return max([*times, *([newest] if newest else [])], default=None)


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


def settle(output: Store) -> None:
    """Forget the shards that are done, and those that broke off where all they had to do has been done since.

    The latter is so where the current row of each photo and style is younger and asks for the same picture: whoever may
    still be at such a shard writes the bytes that are there.
    """
    broken, finished = attempts.find_marks(output)
    attempts.forget(output, finished)
    if not broken:
        return
    done = ledger.latest_rows(ledger.read_ledger(output, DONE_COLUMNS))
    for shard in _read_unfinished(output, broken):
        asked = {(task.key, style, task.etag, shard.recipes[style]) for task in shard.tasks for style in task.styles}
        newer = pc.field("created_at") > pa.scalar(shard.mark.begun_at, _TIME)
        newer &= pc.field("key").isin([task.key for task in shard.tasks])
        rows = done.filter(newer).to_pylist()
        if asked <= {(row["key"], row["style"], row["etag"], row["recipe_id"]) for row in rows}:
            attempts.forget(output, [shard.id])


def _read_unfinished(output: Store, marks: Mapping[str, Mark]) -> list[UnfinishedShard]:
    found = []
    for manifest_id, shard_ids in groupby(sorted(marks), manifest_of):
        manifest = Manifest.open(output, manifest_id)
        for shard_id in shard_ids:
            tasks = manifest.tasks(manifest.find_shard(shard_id))
            found.append(UnfinishedShard(shard_id, marks[shard_id], tasks, manifest.recipes))
    return found


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
