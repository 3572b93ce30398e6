"""What became of every photo: parts that are only added, and the tables of the present that follow from them.

    <output>/<style>/<photo>                pictures; the newest recipe's stands
    <output>/results.parquet                one row for each photo of the archive and style
    <output>/metadata.parquet               the done ones, for readers of image folders
    <output>/results/part-<shard>.parquet   what one shard came to, never changed
    <output>/results/_begun-<shard>         when a shard was begun that is not done
    <output>/manifests/<manifest>.parquet   the photos of one run, see `manifest`
    <output>/runs/<manifest>/...            summary, report and contact sheets of one run

A shard's part is written after its pictures, so who sees a part may trust its pictures. All the parts together are the
ledger. Of one photo and style, the row written last is the current one: its recipe made the picture that is there,
unless a shard was begun later that never got its part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ResultsError
from artbank.parquet import conform, read_table, table_bytes
from artbank.records import Result
from artbank.storage import Store

RESULTS = "results.parquet"
METADATA = "metadata.parquet"
PARTS = "results"
METADATA_COLUMNS = (
    "file_name",
    "key",
    "style",
    "clip_style",
    "clip_text",
    "clip_content",
    "clip_direction",
    "ssim",
    "recipe_id",
)
_BEGUN = "_begun-"  # readers of Parquet folders leave names with an underscore out
_PARTS_AT_ONCE = 512  # parts whose bytes are in memory together
_ROWS_AT_ONCE = 16_384
_REPEATED = ("recipe", "base_model", "base_model_hash")  # long texts, the same in most rows


def picture_key(style: str, name: str) -> str:
    """Return where a picture lies; `name` is the photo's key with the suffix the picture is written under."""
    return f"{style}/{name}"


def part_key(shard_id: str) -> str:
    """Return where a shard's part lies."""
    return f"{PARTS}/part-{shard_id}.parquet"


def manifest_key(manifest_id: str) -> str:
    """Return where a manifest lies."""
    return f"manifests/{manifest_id}.parquet"


def run_key(manifest_id: str, *parts: str) -> str:
    """Return where a file of one run lies, such as its summary."""
    return "/".join(("runs", manifest_id, *parts))


def begin(output: Store, shard_id: str, *, now: datetime | None = None) -> None:
    """Note that a shard's pictures are about to be written, over older ones perhaps."""
    output.write(f"{PARTS}/{_BEGUN}{shard_id}", (now or datetime.now(UTC)).isoformat().encode())


def broken_off(output: Store) -> dict[str, datetime]:
    """Return the shards that were begun and have no part, and when they were begun last.

    Raises:
        ResultsError: A note of when cannot be read.
    """
    parts = output.child(PARTS)
    names = {stored.key for stored in parts.list()}
    shards = {name: name.removeprefix(_BEGUN) for name in names if name.startswith(_BEGUN)}
    open_ones = [name for name, shard in shards.items() if f"part-{shard}.parquet" not in names]
    begun = {}
    for name, data in parts.read_many(open_ones).items():
        if isinstance(data, bytes):
            begun[shards[name]] = _parse_time(parts, name, data)
        elif not isinstance(data, FileNotFoundError):  # that one was done while we looked
            raise data
    return begun


def forget(output: Store, shard_id: str) -> None:
    """Delete the note that a shard was begun."""
    output.delete_many([f"{PARTS}/{_BEGUN}{shard_id}"])


def commit(output: Store, shard_id: str, rows: Sequence[Result]) -> None:
    """Write a shard's part, after its pictures; where another worker was first, its part stands."""
    output.create(part_key(shard_id), table_bytes(Result.to_table(rows)))
    forget(output, shard_id)


def is_committed(output: Store, shard_id: str) -> bool:
    """Tell whether a shard's part is there, and with it all its pictures."""
    return output.exists(part_key(shard_id))


def uncommitted(output: Store, shard_ids: Iterable[str]) -> set[str]:
    """Return those of some shards that have no part."""
    parts = set(part_names(output))
    return {shard_id for shard_id in shard_ids if f"part-{shard_id}.parquet" not in parts}


def part_names(output: Store) -> list[str]:
    """Return the file names of all parts, sorted."""
    names = (stored.key for stored in output.child(PARTS).list())
    return sorted(name for name in names if name.startswith("part-") and name.endswith(".parquet"))


def ledger(output: Store, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all parts, in the order of their names.

    Args:
        output: Where the results are.
        columns: Columns of `Result` to read; all when None. `current` needs `key`, `style` and `created_at`.

    Raises:
        ResultsError: A part cannot be read.
    """
    parts, names = output.child(PARTS), part_names(output)
    tables = [conform(Result.to_table([]), Result.SCHEMA, columns)]
    for start in range(0, len(names), _PARTS_AT_ONCE):
        found = parts.read_many(names[start : start + _PARTS_AT_ONCE])
        tables += [_parse(parts, name, data, columns) for name, data in sorted(found.items())]
    return pa.concat_tables(tables)


def current(ledger: pa.Table) -> pa.Table:
    """Keep the row written last of each photo and style; of rows of one moment, the last in the ledger's order."""
    order = ledger["created_at"].cast(pa.int64()).to_numpy().argsort(kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    ranked = ledger.select(["key", "style"]).append_column("rank", pa.array(rank))
    latest = ranked.group_by(["key", "style"]).aggregate([("rank", "max")])["rank_max"].to_numpy()
    kept = np.zeros(len(order), bool)
    kept[order[latest]] = True
    return ledger.filter(pa.array(kept))


def write_view(output: Store, photos: pa.Table, styles: Sequence[str] | None = None) -> pa.Table:
    """Bring `results.parquet` and `metadata.parquet` up to the ledger; what has not changed is not written.

    Args:
        output: Where the results are.
        photos: The archive as it is listed now, with a column `key`; rows of other photos are left out.
        styles: Styles to keep; all that the ledger knows when None.

    Returns:
        The rows of `results.parquet`, by photo and style.

    Raises:
        ResultsError: A part cannot be read.
    """
    kept = pc.field("key").isin(photos["key"].combine_chunks())
    if styles is not None:
        kept &= pc.field("style").isin(list(styles))
    rows = _sort(current(ledger(output)).filter(kept))
    _replace(output, RESULTS, table_bytes(rows, row_group_size=_ROWS_AT_ONCE))
    done = rows.filter(pc.field("status") == "done").select(METADATA_COLUMNS)
    _replace(output, METADATA, table_bytes(done.replace_schema_metadata()))
    return rows


def _parse_time(parts: Store, name: str, data: bytes) -> datetime:
    try:
        return datetime.fromisoformat(data.decode())
    except ValueError as error:
        raise ResultsError(
            f"{parts.uri_of(name)} should hold the time when a shard was begun, but cannot be read ({error}); "
            "write that time into it"
        ) from error


def _parse(parts: Store, name: str, data: bytes | Exception, columns: Sequence[str] | None) -> pa.Table:
    if isinstance(data, Exception):
        raise data
    try:
        return read_table(data, Result.SCHEMA, columns)
    except pa.ArrowException as error:
        raise ResultsError(
            f"{parts.uri_of(name)} should be a shard's part, but cannot be read ({error}); "
            "delete it and run again, which stylizes its photos anew"
        ) from error


def _sort(rows: pa.Table) -> pa.Table:
    # Sorting joins the chunks of a text column into one, which must stay under 2 GiB: a million recipes would not.
    for name in _REPEATED:
        rows = rows.set_column(rows.schema.get_field_index(name), name, rows[name].dictionary_encode())
    rows = rows.sort_by([("key", "ascending"), ("style", "ascending")])
    starts = range(0, max(len(rows), 1), _ROWS_AT_ONCE)
    return pa.concat_tables([conform(rows.slice(start, _ROWS_AT_ONCE), Result.SCHEMA) for start in starts])


def _replace(output: Store, key: str, data: bytes) -> None:
    try:
        if output.read(key) == data:
            return
    except FileNotFoundError:
        pass
    output.write(key, data)
