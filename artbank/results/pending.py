"""The photos that a run works on: everything in the archive, minus what is done (an anti-join)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
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

_LOCAL_ETAG = re.compile(r"^(\d+-\d+)-\d+$")  # the etag of a local file; older versions wrote the group alone
_EXACT = ["mark", "metadata"]  # a failed row has them only if it is in place of a picture to draw again exactly
_PHOTO_COLUMNS = [*LISTING.names, "caption"]
_TASK_KEYS = ["key", "size", "etag", "known_sha256", *_EXACT, "caption"]
_PAIRS = pa.schema([*map(PhotoTask.SCHEMA.field, _TASK_KEYS), pa.field("style", pa.string())])


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
    begun_at: dict[tuple[str, str], datetime] = {}  # start of the newest unfinished attempt, by key and style
    for shard in unfinished:
        for picture in ((task.key, style) for task in shard.tasks for style in task.styles):
            begun_at[picture] = max(begun_at.get(picture, shard.mark.begun_at), shard.mark.begun_at)

    def is_valid(row: Mapping[str, Any]) -> bool:
        begun = begun_at.get((row["key"], row["style"]))
        return begun is None or _is_later(row, begun) or (keep_failed and row["status"] != "done")

    is_doubtful = _is_of_shards(done, unfinished)
    doubtful_rows = done.select(["key", "style", "created_at", "status"]).filter(is_doubtful)
    is_kept = np.ones(len(done), np.bool_)
    is_kept[is_doubtful] = [is_valid(row) for row in doubtful_rows.to_pylist()]
    return done.filter(is_kept)


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
            in_shard = shard.mark.count_strikes(task.key, task.strikes or 0)
            strikes[task.key] = max(strikes.get(task.key, 0), in_shard)
    return {key: count for key, count in strikes.items() if count}


def list_known(done: pa.Table, unfinished: Sequence[UnfinishedShard]) -> pa.Array:
    """Return the keys of all photos that have rows, or had them before an unfinished shard."""
    unfinished_keys = pa.array([task.key for shard in unfinished for task in shard.tasks], pa.string())
    return pc.unique(pa.chunked_array([*done["key"].chunks, unfinished_keys], pa.string()))


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
    find = partial(_find_failed, failures=failures) if retry_failed else _find_missing
    by_style = [find(photos, done, style, recipe) for style, recipe in sorted(recipes.items())]
    pairs = pa.concat_tables([_PAIRS.empty_table(), *by_style])
    grouped = pairs.group_by(_TASK_KEYS, use_threads=False).aggregate([("style", "list")])
    tasks = grouped.rename_columns([*_TASK_KEYS, "styles"])
    counts = [strikes.get(key) for key in tasks["key"].to_pylist()] if strikes else pa.nulls(len(tasks))
    tasks = tasks.append_column("strikes", pa.array(counts, pa.int64()))
    is_ambiguous = _is_ambiguous(tasks, photos if archive is None else archive, done)
    tasks = tasks.append_column("is_ambiguous", is_ambiguous).select(PhotoTask.SCHEMA.names)
    return tasks.sort_by([("key", "ascending"), ("known_sha256", "ascending")]).cast(PhotoTask.SCHEMA)


def delete_settled_marks(output: Store) -> None:
    """Delete the marks of finished shards, and of unfinished ones whose work was done later.

    The work of a shard was done later if the latest row of each of its photos and styles is newer than the mark and
    has the same recipe, etag and caption: a worker that still works on such a shard writes the bytes that are in the
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
    rows_by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _with_given_captions(done.filter(_is_of_shards(done, shards))).to_pylist():
        rows_by_key[row["key"]].append(row)
    settled = [shard.id for shard in shards if _is_done_later(shard, rows_by_key)]
    attempts.delete_marks(output, settled)


def _is_done_later(shard: UnfinishedShard, rows_by_key: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Return whether rows newer than the mark of a shard cover all of its photos and styles."""
    tasks = shard.tasks
    recipes = shard.recipes
    wanted = {(task.key, style, task.etag, recipes[style], task.caption) for task in tasks for style in task.styles}
    rows = [row for task in tasks for row in rows_by_key[task.key] if _is_later(row, shard.mark.begun_at)]
    done = {tuple(row[name] for name in ("key", "style", "etag", "recipe_id", "done_caption")) for row in rows}
    done |= {(key, style, _LOCAL_ETAG.sub(r"\1", etag), *facts) for key, style, etag, *facts in done}
    return wanted <= done


def _read_unfinished(output: Store, marks: Mapping[str, Mark]) -> list[UnfinishedShard]:
    shards = []
    for manifest_id, shard_ids in groupby(sorted(marks), manifest_of):
        manifest = Manifest.open(output, manifest_id)
        for shard_id in shard_ids:
            tasks = manifest.tasks(manifest.find_shard(shard_id))
            shards.append(UnfinishedShard(shard_id, marks[shard_id], tasks, manifest.recipes))
    return shards


def _find_failed(
    photos: pa.Table, done: pa.Table, style: str, recipe_id: str, *, failures: Sequence[Failure]
) -> pa.Table:
    wanted = (pc.field("style") == style) & (pc.field("recipe_id") == recipe_id) & (pc.field("status") == "failed")
    if failures:
        wanted &= pc.field("failure").isin(list(failures))
    rows = done.filter(wanted).select(["key", *_EXACT])
    failed = photos.select(_PHOTO_COLUMNS).join(rows, "key", join_type="inner")
    failed = failed.append_column("known_sha256", pa.nulls(len(failed), pa.string())).select(_TASK_KEYS)
    return failed.append_column("style", pa.repeat(pa.scalar(style), len(failed)))


def _find_missing(photos: pa.Table, done: pa.Table, style: str, recipe_id: str) -> pa.Table:
    """Return the photos that are not done in a style, in `_TASK_KEYS` and `style`."""
    counts_as_done = (pc.field("style") == style) & (pc.field("recipe_id") == recipe_id)
    counts_as_done &= (pc.field("status") == "done") | ~pc.field("failure").isin(list(PASSING_FAILURES))
    rows = _with_given_captions(done.filter(counts_as_done)).select(["key", "etag", "sha256", "done_caption"])
    rows = rows.rename_columns(["key", "done_etag", "known_sha256", "done_caption"])
    joined = photos.select(_PHOTO_COLUMNS).join(rows, "key", join_type="left outer")
    is_same_caption = _are_equal(joined["caption"], joined["done_caption"])
    missing = joined.filter(pc.invert(pc.and_(_is_same_file(joined), is_same_caption)))
    # With another caption the picture changes, even if the content of the photo is the same.
    may_keep_row = _are_equal(missing["caption"], missing["done_caption"])
    known_sha256 = pc.if_else(may_keep_row, missing["known_sha256"], pa.scalar(None, pa.string()))
    missing = missing.drop_columns(["known_sha256"]).append_column("known_sha256", known_sha256)
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
    """Return for each row whether two columns are equal; two nulls are."""
    return pc.or_(pc.fill_null(pc.equal(left, right), False), pc.and_(pc.is_null(left), pc.is_null(right)))


def _is_same_file(joined: pa.Table) -> pa.ChunkedArray:
    """Return for each photo whether it is the file that its row was made from; False without a row.

    The etags are compared. An etag that is a checksum may also equal the row's `sha256`. The etag of a local file may
    equal that of a row of an older version, which had no status time: so an update of artbank draws nothing again.
    """
    etag = joined["etag"]
    done_etag = joined["done_etag"]
    etag_of_older_version = pc.replace_substring_regex(etag, _LOCAL_ETAG.pattern, r"\1")
    is_same = pc.fill_null(pc.equal(etag, done_etag), False)
    is_same = pc.or_(is_same, pc.fill_null(pc.equal(etag_of_older_version, done_etag), False))
    return pc.or_(is_same, pc.fill_null(pc.equal(etag, joined["known_sha256"]), False))


def _is_ambiguous(tasks: pa.Table, archive: pa.Table, done: pa.Table) -> pa.ChunkedArray:
    if not len(tasks):
        return pa.chunked_array([], pa.bool_())
    keys = pa.chunked_array([*archive["key"].chunks, *done["key"].chunks], pa.string())
    return pc.is_in(tasks["key"], value_set=find_ambiguous(keys))
