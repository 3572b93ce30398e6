"""The listing of an archive: its photos, without what is no photo or cannot be listed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.utils import glob_translate
from more_itertools import chunked

from artbank.captions.caption_reader import is_like_captions, is_table, rank_of
from artbank.parameters.skip_rules import SkipRules
from artbank.store.objects import Store, StoredObject
from artbank.store.skipped import SkippedFiles

LISTING = pa.schema([("key", pa.string()), ("size", pa.int64()), ("etag", pa.string())])
"""Columns of a listing."""

_LISTED_AT_ONCE = 65_536
_UNSEEN = b"artbank.unseen"


def list_archive(
    archive: Store,
    rules: Sequence[str] = (),
    *,
    checksum: bool = False,
    skipped: SkippedFiles | None = None,
    captions: list[StoredObject] | None = None,
) -> pa.Table:
    """List the photos of an archive: `key`, `size` and `etag`, sorted by key.

    A folder or file that may not be listed is no error.
    docs/explanation/scale.md has the time and memory for a million files.

    Args:
        archive: The archive.
        rules: Rules of `skip`, see `skip_rules`.
        checksum: Where the store has no ETags, take the SHA-256 of each file for one, which reads them all.
        skipped: Collects what is no photo, and what cannot be listed.
        captions: Collects files that may hold captions, instead of counting them among what is no photo; None to count
            them.

    Raises:
        ConfigError: A rule is no glob.
        OSError: The store failed.
    """
    left_out = SkippedFiles() if skipped is None else skipped
    listed = archive.scan(hash_content=checksum, with_status_time=True, skipped=left_out)
    photos = _to_table(_keep_photos(listed, SkipRules(rules), left_out, captions))
    return photos.replace_schema_metadata({_UNSEEN: json.dumps(sorted(left_out.unreadable)).encode()})


def list_files(store: Store, skipped: SkippedFiles | None = None) -> pa.Table:
    """List all files of a store: `key`, `size` and `etag`, sorted by key, without hidden files and folders.

    Args:
        store: The store.
        skipped: Collects what is left out, see `Store.scan`.

    Raises:
        OSError: The store failed.
    """
    return _to_table(store.scan(skipped=skipped))


def is_unseen(keys: pa.ChunkedArray, photos: pa.Table) -> np.ndarray:
    """Tell for each key, bool [keys], whether it lies where `list_archive` was not allowed to look."""
    unseen = np.zeros(len(keys), bool)
    for place in unseen_places(photos):
        below = pc.or_(pc.starts_with(keys, f"{place}/"), pc.equal(keys, place))
        unseen |= below.to_numpy()
    return unseen


def unseen_places(photos: pa.Table) -> list[str]:
    """Return the folders and files that `list_archive` was not allowed to look at, sorted."""
    return json.loads((photos.schema.metadata or {}).get(_UNSEEN, b"[]"))


def filter_by_globs(photos: pa.Table, *, include: Sequence[str], exclude: Sequence[str]) -> pa.Table:
    """Keep the photos of a listing that match a glob of `include`, or all if it is empty, and none of `exclude`.

    `*` and `?` stay within a folder, `**` matches any number of folders: `2024/**/*.jpg`.
    """
    if not include and not exclude:
        return photos
    wanted = _compile_globs(include)
    unwanted = _compile_globs(exclude)

    def is_kept(key: str) -> bool:
        is_included = not include or wanted.match(key) is not None
        return is_included and unwanted.match(key) is None

    return photos.filter(pa.array([is_kept(key) for key in photos["key"].to_pylist()], pa.bool_()))


def _compile_globs(globs: Sequence[str]) -> re.Pattern[str]:
    matches_nothing = r"(?!)"
    return re.compile("|".join(map(glob_translate, globs)) or matches_nothing)


def _keep_photos(
    listed: Iterable[StoredObject], rules: SkipRules, skipped: SkippedFiles, captions: list[StoredObject] | None
) -> Iterator[StoredObject]:
    for stored in listed:
        if not rules.skip(stored.key):
            yield stored
        elif captions is not None and _may_hold_captions(stored.key, rules):
            captions.append(stored)
        else:
            skipped.add("container" if rules.is_container(stored.key) else "no_photo", stored.key)


def _may_hold_captions(key: str, rules: SkipRules) -> bool:
    """Return whether a file that is no photo may hold captions; none in a folder that is skipped does."""
    is_known = is_table(key) or rank_of(key) is not None or is_like_captions(key)
    return is_known and not rules.skip_folder(key.rpartition("/")[0])


def _to_table(listed: Iterable[StoredObject]) -> pa.Table:
    tables = [LISTING.empty_table()]
    for chunk in chunked(listed, _LISTED_AT_ONCE):
        columns = [pa.array([getattr(stored, field.name) for stored in chunk], field.type) for field in LISTING]
        tables.append(pa.table(columns, schema=LISTING))
    return pa.concat_tables(tables).sort_by("key")
