"""Delete the pictures of photos that are no longer in the archive.

Three steps, each of which is safe to repeat after a stop:

    void_removed     a failed row takes the place of each done one, so no latest row names the pictures
    tables           `update_tables_and_vacuum` deletes them from the tables, then from their containers
    delete_files     those in files of their own are deleted

The page shows what the tables have, and deletes its own small pictures of others. A photo that comes
back is drawn again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import sliced

from artbank.errors import ResultsError
from artbank.records.photo_records import Result
from artbank.results import layout, ledger
from artbank.results.containers import are_images
from artbank.results.manifest import Manifest
from artbank.results.missing_photos import find_missing
from artbank.results.void import VOIDED, void_row
from artbank.runtime.hashing import short_hash
from artbank.store.objects import Store

_PAIR = ["key", "style"]
_COLUMNS = (*_PAIR, "status", "file_name", "created_at")
_ROWS_AT_ONCE = 4096  # of one part
_REASON = "its photo is no longer in the archive, so its picture was deleted"


@dataclass(frozen=True)
class RemovedPhotos:
    """Photos that are no longer in the archive, and what an output still has of them.

    Attributes:
        keys: The photos that have a picture, or had one that a stop may have left; sorted.
        pictures: Key and style of each latest picture, with its row's `created_at`.
        files: Pictures in files of their own, of whichever row, that belong to no other photo; sorted.
    """

    keys: tuple[str, ...]
    pictures: pa.Table
    files: tuple[str, ...]

    @property
    def num_pictures(self) -> int:
        """Number of pictures, those in containers included."""
        return len(self.pictures)


NOTHING_REMOVED = RemovedPhotos((), pa.table({}), ())


def find_removed(output: Store, photos: pa.Table, rules: Sequence[str]) -> RemovedPhotos:
    """Find the pictures of photos that are no longer in the archive, in all styles. Writes nothing.

    Args:
        output: Where the results are.
        photos: The archive as it is listed now, from `list_archive`.
        rules: Rules of `skip`; photos that they leave out now are not removed.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    rows = ledger.read_ledger(output, _COLUMNS)
    missing = find_missing(photos, pc.unique(rows["key"].combine_chunks()), rules)
    rows = rows.append_column("latest", pa.array(ledger.is_latest(rows)))
    done = rows.filter(pc.field("status") == "done")
    is_removed = pc.is_in(done["key"], value_set=missing)
    removed = done.filter(is_removed)
    remaining = done.filter(pc.invert(is_removed))
    files_in_use = remaining.filter(pc.field("latest"))["file_name"].combine_chunks()
    removed_files = pc.unique(removed.filter(are_images(removed["file_name"]))["file_name"])
    files = removed_files.filter(pc.invert(pc.is_in(removed_files, value_set=files_in_use)))
    return RemovedPhotos(
        keys=tuple(sorted(pc.unique(removed["key"]).to_pylist())),
        pictures=removed.filter(pc.field("latest")).select([*_PAIR, "created_at"]),
        files=tuple(sorted(files.to_pylist())),
    )


def void_removed(output: Store, removed: RemovedPhotos) -> None:
    """Commit a failed row for each picture of a removed photo, so that none counts as done.

    Contact sheets of runs that drew one of these photos are deleted before.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    if not removed.num_pictures:
        return
    keys = pa.array(removed.keys, pa.string())
    output.delete_many(_find_sheets(output, keys))
    now = datetime.now(UTC)
    pictures = {(row["key"], row["style"], row["created_at"]) for row in removed.pictures.to_pylist()}
    listing = ledger.list_parts(output)
    content = "\n".join([*removed.keys, *listing.etags])
    rows = ledger.read_ledger(output, listing=listing, schema=ledger.LEAN_SCHEMA)
    rows = rows.filter(pc.is_in(rows["key"], value_set=keys))
    for number, batch in enumerate(sliced(rows, _ROWS_AT_ONCE)):
        batch_rows = (row for row in Result.from_table(batch) if (row.key, row.style, row.created_at) in pictures)
        voided = [replace(void_row(row, "removed", _REASON, now), caption=None) for row in batch_rows]
        if voided:
            ledger.commit(output, f"{VOIDED}{short_hash(content)}-{number:05d}", voided)


def delete_files(output: Store, removed: RemovedPhotos) -> None:
    """Delete the pictures of removed photos that are files of their own.

    Args:
        output: The output, whose tables name none of them any more.
        removed: From `find_removed`.

    Raises:
        OSError: The store failed.
    """
    output.delete_many(removed.files)


def _find_sheets(output: Store, keys: pa.Array) -> Iterator[str]:
    """Yield the contact sheets of runs over any of some photos, and those of runs whose photos are not known."""
    runs = output.child(layout.RUNS)
    for stored in runs.scan():
        run_id, _, name = stored.key.partition("/")
        if name == layout.CONTACT_SHEET and _may_show(output, run_id, keys):
            yield layout.run_key(run_id, name)


def _may_show(output: Store, run_id: str, keys: pa.Array) -> bool:
    try:
        pairs = Manifest.open(output, run_id).list_pairs()
    except (FileNotFoundError, ResultsError):
        return True
    return pc.any(pc.is_in(pairs["key"], value_set=keys)).as_py() or False
