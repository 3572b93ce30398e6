"""The photos that a run works on: everything in the archive, minus what is done (an anti-join)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import Failure
from artbank.records.photo_records import PhotoTask
from artbank.results import attempts, ledger
from artbank.results.archive_listing import LISTING
from artbank.results.attempts import Mark
from artbank.results.filenames import find_ambiguous
from artbank.results.manifest import Manifest, manifest_of
from artbank.results.snapshots import PartListing
from artbank.store.objects import Store

DONE_COLUMNS = (
    *("key", "etag", "sha256", "style", "recipe_id", "status", "failure", "seconds", "created_at"),
    *("mark", "metadata", "caption", "caption_source"),
)
"""Columns of the ledger that `find_pending` needs."""

PASSING_FAILURES: tuple[Failure, ...] = ("store_error", "removed", "damaged", "out_of_memory")
"""Failures that are not the photo's alone, so they never count as done: a later listing contradicts them, or a machine
whose memory another program does not use."""

_OLDER = re.compile(r"^(\d+-\d+)-\d+$")  # the etag of a local file; older versions had its first two numbers
_EXACT = ["mark", "metadata"]  # a failed row has them only if it is in place of a picture to draw again exactly
_PHOTO = [*LISTING.names, "caption"]
_TASK_KEYS = ["key", "size", "etag", "known_sha256", *_EXACT, "caption"]


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
    return _read_unfinished(output, attempts.find_unfinished(output))


def read_done(
    output: Store,
    unfinished: Sequence[UnfinishedShard] | None = None,
    *,
    keep_failed: bool = False,
    listing: PartListing | None = None,
) -> pa.Table:
    """Read the latest rows, in `DONE_COLUMNS`, without those whose picture may have been overwritten.

    A worker that stopped in the middle of a shard may have written pictures over those of older
    rows.

    Args:
        output: Where the results are.
        unfinished: From `read_unfinished`; read when None.
        keep_failed: Keep failed rows in any case: they have no picture.
        listing: The parts to read, from `ledger.list_parts`, later than `unfinished`; listed now when None.

    Raises:
        ResultsError: A part cannot be read.
    """
    if unfinished is None:
        unfinished = read_unfinished(output)
    done = ledger.latest_rows(ledger.read_ledger(output, DONE_COLUMNS, listing=listing))
    begun_at: dict[tuple[str, str], datetime] = {}
    for shard in unfinished:
        for picture in ((task.key, style) for task in shard.tasks for style in task.styles):
            begun_at[picture] = max(begun_at.get(picture, shard.mark.begun_at), shard.mark.begun_at)

    def is_kept(row: Mapping[str, Any]) -> bool:
        begun = begun_at.get((row["key"], row["style"]))
        return begun is None or _is_later(row, begun) or (keep_failed and row["status"] != "done")

    is_touched = _is_of_shards(done, unfinished)
    touched = done.select(["key", "style", "created_at", "status"]).filter(is_touched)
    kept = np.ones(len(done), np.bool_)
    kept[is_touched] = [is_kept(row) for row in touched.to_pylist()]
    return done.filter(kept)


def _is_later(row: Mapping[str, Any], time: datetime) -> bool:
    return row["created_at"] is not None and row["created_at"] > time


def _is_of_shards(rows: pa.Table, shards: Sequence[UnfinishedShard]) -> np.ndarray:
    """Return for each row whether its photo is in one of some shards; looks at all rows once, not for each shard."""
    keys = pa.array({task.key for shard in shards for task in shard.tasks}, pa.string())
    return pc.is_in(rows["key"], value_set=keys).to_numpy()


def count_strikes(unfinished: Sequence[UnfinishedShard]) -> dict[str, int]:
    """Return the strikes against the photos of unfinished shards, by key; see `attempts`."""
    strikes: dict[str, int] = {}
    for shard in unfinished:
        for task in shard.tasks:
            known = shard.mark.count_strikes(task.key, task.strikes or 0)
            strikes[task.key] = max(strikes.get(task.key, 0), known)
    return {key: count for key, count in strikes.items() if count}


def list_known(done: pa.Table, unfinished: Sequence[UnfinishedShard]) -> pa.Array:
    """Return the keys of all photos that have rows, or had them before an unfinished shard."""
    begun = pa.array([task.key for shard in unfinished for task in shard.tasks], pa.string())
    return pc.unique(pa.chunked_array([*done["key"].chunks, begun], pa.string()))


def find_latest(done: pa.Table, unfinished: Sequence[UnfinishedShard]) -> datetime | None:
    """Return the newest time in rows and marks; rows of the next run must be newer, whatever its clocks say."""
    times = [shard.mark.begun_at for shard in unfinished]
    newest = pc.max(done["created_at"]).as_py()
    return max([*times, *([newest] if newest else [])], default=None)


def find_pending(
    photos: pa.Table,
    done: pa.Table,
    recipes: Mapping[str, str],
    *,
    retry_failed: bool,
    failures: Sequence[Failure] = (),
    strikes: Mapping[str, int] | None = None,
    archive: pa.Table | None = None,
) -> pa.Table:
    """Return the tasks of a run, rows of `PhotoTask`, by key.

    A photo is done in a style if its latest row has the style's recipe, the photo's etag and its
    caption, and is either done or failed because of the photo itself. If only the etag differs, the task's
    `known_sha256` is the content that the row was made from: if the photo still has that content,
    its row and picture are kept. A photo that has such a row in some styles and none in others
    becomes two tasks.

    With `retry_failed`, the tasks are the photos that failed with the style's recipe, and nothing
    else. Those whose row a repair voided get the mark and metadata that their picture had.

    A name is ambiguous because of all photos of the archive, and of done photos that were removed:
    they may come back.

    Args:
        photos: The archive, or a selection; see `archive_listing.list_archive` and `filter_by_globs`. It may have a
            column `caption`, with null for photos without one.
        done: From `read_done`.
        recipes: The recipe id of each style to draw.
        retry_failed: Try failed photos again, and nothing else.
        failures: The kinds of failure to try again; all when empty.
        strikes: From `count_strikes`.
        archive: The listing of the whole archive; `photos` when None.
    """
    if "caption" not in photos.column_names:
        photos = photos.append_column("caption", pa.nulls(len(photos), pa.string()))
    if retry_failed:
        found = [_find_failed(photos, done, style, recipe, failures) for style, recipe in sorted(recipes.items())]
    else:
        found = [_find_missing(photos, done, style, recipe) for style, recipe in sorted(recipes.items())]
    joined = pa.concat_tables([_no_tasks(), *found])
    grouped = joined.group_by(_TASK_KEYS, use_threads=False).aggregate([("style", "list")])
    tasks = grouped.rename_columns([*_TASK_KEYS, "styles"])
    counts = [strikes.get(key) for key in tasks["key"].to_pylist()] if strikes else pa.nulls(len(tasks))
    tasks = tasks.append_column("strikes", pa.array(counts, pa.int64()))
    is_ambiguous = _is_ambiguous(tasks, photos if archive is None else archive, done)
    tasks = tasks.append_column("is_ambiguous", is_ambiguous).select(PhotoTask.SCHEMA.names)
    return tasks.sort_by([("key", "ascending"), ("known_sha256", "ascending")]).cast(PhotoTask.SCHEMA)


def delete_settled_marks(output: Store) -> None:
    """Delete the marks of finished shards, and of unfinished ones whose work was done later.

    The latter is so if the latest row of each photo and style is newer than the mark and has the
    same recipe, etag and caption: a worker that is still at such a shard writes the bytes that are in the
    store already.

    Raises:
        FileNotFoundError: The manifest of an unfinished shard is gone.
        ResultsError: A mark, a manifest or a part is damaged.
    """
    unfinished, finished = attempts.find_marks(output)
    attempts.delete_marks(output, finished)
    if not unfinished:
        return
    shards = _read_unfinished(output, unfinished)
    done = ledger.latest_rows(ledger.read_ledger(output, DONE_COLUMNS))
    rows_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _with_given_captions(done.filter(_is_of_shards(done, shards))).to_pylist():
        rows_of[row["key"]].append(row)
    for shard in shards:
        asked = {
            (task.key, style, task.etag, shard.recipes[style], task.caption)
            for task in shard.tasks
            for style in task.styles
        }
        rows = [row for task in shard.tasks for row in rows_of[task.key] if _is_later(row, shard.mark.begun_at)]
        made = {tuple(row[name] for name in ("key", "style", "etag", "recipe_id", "done_caption")) for row in rows}
        made |= {(key, style, _OLDER.sub(r"\1", etag), *others) for key, style, etag, *others in made}
        if asked <= made:
            attempts.delete_marks(output, [shard.id])


def _read_unfinished(output: Store, marks: Mapping[str, Mark]) -> list[UnfinishedShard]:
    found = []
    for manifest_id, shard_ids in groupby(sorted(marks), manifest_of):
        manifest = Manifest.open(output, manifest_id)
        for shard_id in shard_ids:
            tasks = manifest.tasks(manifest.find_shard(shard_id))
            found.append(UnfinishedShard(shard_id, marks[shard_id], tasks, manifest.recipes))
    return found


def _find_failed(photos: pa.Table, done: pa.Table, style: str, recipe_id: str, failures: Sequence[Failure]) -> pa.Table:
    wanted = (pc.field("style") == style) & (pc.field("recipe_id") == recipe_id) & (pc.field("status") == "failed")
    if failures:
        wanted &= pc.field("failure").isin(list(failures))
    rows = done.filter(wanted).select(["key", *_EXACT])
    failed = photos.select(_PHOTO).join(rows, "key", join_type="inner")
    failed = failed.append_column("known_sha256", pa.nulls(len(failed), pa.string())).select(_TASK_KEYS)
    return failed.append_column("style", pa.repeat(pa.scalar(style), len(failed)))


def _find_missing(photos: pa.Table, done: pa.Table, style: str, recipe_id: str) -> pa.Table:
    """Return the photos that are not done in a style, in `_TASK_KEYS` and `style`."""
    valid = (pc.field("style") == style) & (pc.field("recipe_id") == recipe_id)
    valid &= (pc.field("status") == "done") | ~pc.field("failure").isin(list(PASSING_FAILURES))
    rows = _with_given_captions(done.filter(valid)).select(["key", "etag", "sha256", "done_caption"])
    rows = rows.rename_columns(["key", "done_etag", "known_sha256", "done_caption"])
    joined = photos.select(_PHOTO).join(rows, "key", join_type="left outer")
    is_same_caption = _are_equal(joined["caption"], joined["done_caption"])
    missing = joined.filter(pc.invert(pc.and_(_is_same_file(joined), is_same_caption)))
    is_known = _are_equal(missing["caption"], missing["done_caption"])  # of the others not even the content is
    known = pc.if_else(is_known, missing["known_sha256"], pa.scalar(None, pa.string()))
    missing = missing.drop_columns(["known_sha256"]).append_column("known_sha256", known)
    for name in _EXACT:
        missing = missing.append_column(name, pa.nulls(len(missing), pa.string()))
    missing = missing.select(_TASK_KEYS)
    return missing.append_column("style", pa.repeat(pa.scalar(style), len(missing)))


def _with_given_captions(rows: pa.Table) -> pa.Table:
    """Add `done_caption`: the caption that a row's task had, as `Result.given_caption`."""
    is_given = pc.fill_null(pc.equal(rows["caption_source"], "file"), False)
    given = pc.if_else(is_given, rows["caption"], pa.scalar(None, pa.string()))
    return rows.append_column("done_caption", given)


def _are_equal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.ChunkedArray:
    """Tell for each place whether two columns are equal; nulls are."""
    return pc.or_(pc.fill_null(pc.equal(left, right), False), pc.and_(pc.is_null(left), pc.is_null(right)))


def _is_same_file(joined: pa.Table) -> pa.ChunkedArray:
    """Tell for each photo whether it is the file that its row was made from; False without a row.

    The etag tells. Two more count as equal: a checksum and the row's own, and the etag of a local file in rows of
    older versions, which had no status time, so that an update makes nothing anew.
    """
    etag, done = joined["etag"], joined["done_etag"]
    older = pc.replace_substring_regex(etag, _OLDER.pattern, r"\1")
    is_same = pc.fill_null(pc.equal(etag, done), False)
    is_same = pc.or_(is_same, pc.fill_null(pc.equal(older, done), False))
    return pc.or_(is_same, pc.fill_null(pc.equal(etag, joined["known_sha256"]), False))


def _is_ambiguous(tasks: pa.Table, archive: pa.Table, done: pa.Table) -> pa.ChunkedArray:
    if not len(tasks):
        return pa.chunked_array([], pa.bool_())
    keys = pa.chunked_array([*archive["key"].chunks, *done["key"].chunks], pa.string())
    return pc.is_in(tasks["key"], value_set=find_ambiguous(keys))


def _no_tasks() -> pa.Table:
    return pa.schema([*map(PhotoTask.SCHEMA.field, _TASK_KEYS), pa.field("style", pa.string())]).empty_table()
