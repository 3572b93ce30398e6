"""What is there, minus what is done: the photos that a run works on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from fsspec.utils import glob_translate

from artbank.errors import Failure
from artbank.records import PhotoTask, Result
from artbank.results import attempts, ledger, manifest
from artbank.results.attempts import Mark
from artbank.results.filenames import find_ambiguous
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
    done = ledger.latest_rows(ledger.read_ledger(output, DONE_COLUMNS))
    for shard_id, mark in (attempts.broken_off(output) if broken is None else broken).items():
        names = [(task.key, style) for task in manifest.read_tasks(output, shard_id) for style in task.styles]
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
        for task in manifest.read_tasks(output, shard_id):
            strikes[task.key] = max(strikes.get(task.key, 0), task.strikes or 0, mark.count_strikes(task.key))
    return {key: count for key, count in strikes.items() if count}


def find_latest(done: pa.Table, broken: Mapping[str, Mark]) -> datetime | None:
    """Return the latest time that rows and marks tell: what comes of a plan must be younger, whatever clocks say."""
    times = [mark.begun_at for mark in broken.values()]
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
    done = ledger.latest_rows(ledger.read_ledger(output, DONE_COLUMNS)) if broken else None
    for shard_id, mark in broken.items():
        tasks, recipes = manifest.read_tasks(output, shard_id), manifest.read_recipes(output, shard_id)
        asked = {(task.key, style, task.etag, recipes[style]) for task in tasks for style in task.styles}
        since = pc.field("created_at") > pa.scalar(mark.begun_at, _TIME)
        since &= pc.field("key").isin([task.key for task in tasks])
        assert done is not None
        rows = done.filter(since).to_pylist()
        if asked <= {(row["key"], row["style"], row["etag"], row["recipe_id"]) for row in rows}:
            attempts.forget(output, [shard_id])


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
