"""The rows of every photo: parts that are only added, and the tables that follow from them; see `layout`.

A shard's part is written after its pictures, so who sees a part may trust its pictures. All the parts together are the
ledger. Of one photo and style, the row written last is the current one: its recipe made the picture that is there,
unless a shard was begun later that never got its part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ResultsError
from artbank.records import Result
from artbank.results import containers, snapshots, vacuum
from artbank.results.layout import METADATA, PARTS, RESULTS, part_key
from artbank.runs.outcome import Tally
from artbank.store.objects import Store
from artbank.store.parquet import cast_to_schema, read_metadata, read_table, table_bytes, table_bytes_by_row_group

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
_ROWS_AT_ONCE = 16_384
_ORIGIN, _TALLY = b"artbank.origin", b"artbank.tally"
_FACTS = Result.SCHEMA.metadata or {}
_COUNTED = ["status", "seconds"]
_NAMES = ["key", "style"]
_REPEATED = ("recipe_id", "scorer", "base_model", "base_model_hash", "recipe")  # texts that are the same in most rows
_TEXTS = pa.dictionary(pa.int32(), pa.string())
_LEAN = pa.schema([field.with_type(_TEXTS) if field.name in _REPEATED else field for field in Result.SCHEMA])


def commit(output: Store, shard_id: str, rows: Sequence[Result], tally: Tally | None = None) -> None:
    """Write a shard's part, after its pictures; where another worker was first, its part stands.

    What it came to is told beside its rows, which do not say what was kept: see `read_tallies`.
    """
    table = Result.to_table(rows)
    told = json.dumps(asdict(tally or _tally(table))).encode()
    output.create(part_key(shard_id), table_bytes(table.replace_schema_metadata({**_FACTS, _TALLY: told})))


def read_tallies(output: Store, shard_ids: Iterable[str]) -> dict[str, Tally]:
    """Return what those of some shards that have a part came to, by their ids.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    keys = {part_key(shard_id): shard_id for shard_id in shard_ids}
    found = {keys[key]: data for key, data in output.read_many(list(keys)).items()}
    tallies = {}
    for shard_id, data in found.items():
        if isinstance(data, FileNotFoundError):
            continue
        if isinstance(data, Exception):
            raise data
        tallies[shard_id] = _read_tally(output, shard_id, data)
    return tallies


def is_committed(output: Store, shard_id: str) -> bool:
    """Tell whether a shard's part is there, and with it all its pictures."""
    return output.exists(part_key(shard_id))


def without_part(output: Store, shard_ids: Iterable[str]) -> set[str]:
    """Return those of some shards that have no part."""
    parts = set(part_names(output))
    return {shard_id for shard_id in shard_ids if f"part-{shard_id}.parquet" not in parts}


def part_names(output: Store) -> list[str]:
    """Return the file names of all parts, sorted."""
    return list(snapshots.take_inventory(output.child(PARTS)).etags)


def read_ledger(output: Store, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all parts, in the order of their names.

    Args:
        output: Where the results are.
        columns: Columns of `Result` to read; all when None. `current` needs `key`, `style` and `created_at`.

    Raises:
        ResultsError: A part cannot be read.
    """
    return snapshots.collect(output.child(PARTS), Result.SCHEMA, columns).rows


def latest_rows(ledger: pa.Table) -> pa.Table:
    """Keep the row written last of each photo and style; of rows of one moment, the last in the ledger's order."""
    return ledger.filter(pa.array(_is_current(ledger)))


def write_view(
    output: Store, photos: pa.Table, styles: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """Bring `results.parquet`, `metadata.parquet` and containers up to the ledger; where they are, nothing is written.

    Args:
        output: Where the results are.
        photos: The archive as it is listed now, with a column `key`; rows of other photos are left out.
        styles: Styles to keep; all that the ledger knows when None.
        columns: Columns of `Result` to return; all when None.

    Returns:
        The rows of `results.parquet`, by photo and style; `origin_of` tells what they follow from.

    Raises:
        ResultsError: A part cannot be read.
    """
    origin = _origin(snapshots.take_inventory(output.child(PARTS)), photos, styles)
    rows = _read_view(output, origin, columns)
    if rows is None:
        rows = _make_view(output, photos, styles)
    found = cast_to_schema(rows, Result.SCHEMA, columns)
    return found.replace_schema_metadata({**(found.schema.metadata or {}), _ORIGIN: origin})


def origin_of(rows: pa.Table) -> str:
    """Return a hash of all that rows of `write_view` follow from: equal where the rows are."""
    return rows.schema.metadata[_ORIGIN].decode()


def make_metadata(rows: pa.Table) -> pa.Table:
    """Return the rows of `metadata.parquet`, in `METADATA_COLUMNS`, of those of `results.parquet`."""
    done = rows.filter(pc.field("status") == "done")
    return done.filter(containers.are_images(done["file_name"])).select(METADATA_COLUMNS)


def _read_tally(output: Store, shard_id: str, data: bytes) -> Tally:
    """Read what a part says it came to; of older versions what follows from its rows."""
    try:
        told = read_metadata(data).get(_TALLY)
        return _tally(read_table(data, Result.SCHEMA, _COUNTED)) if told is None else Tally(**json.loads(told))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ResultsError(
            f"{output.uri_of(part_key(shard_id))} should be a shard's part, but is not ({error})"
        ) from error


def _tally(rows: pa.Table) -> Tally:
    done = rows.filter(pc.field("status") == "done")
    return Tally(len(done), len(rows) - len(done), 0, pc.sum(done["seconds"]).as_py() or 0.0)


def _is_current(ledger: pa.Table) -> np.ndarray:
    order = ledger["created_at"].cast(pa.int64()).to_numpy().argsort(kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    ranked = ledger.select(_NAMES).append_column("rank", pa.array(rank))
    latest = ranked.group_by(_NAMES).aggregate([("rank", "max")])["rank_max"].to_numpy()
    kept = np.zeros(len(order), bool)
    kept[order[latest]] = True
    return kept


def _origin(inventory: snapshots.Inventory, photos: pa.Table, styles: Sequence[str] | None) -> bytes:
    """Return a hash of all that a view follows from."""
    facts = [str(Result.SCHEMA), METADATA_COLUMNS, inventory.etags, None if styles is None else list(styles)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    keys = photos["key"].combine_chunks()
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        some = keys.slice(start, _ROWS_AT_ONCE)
        joined = pc.binary_join(pa.ListArray.from_arrays([0, len(some)], some), "\n")
        digest.update(b"\n" + joined[0].as_py().encode())
    return digest.hexdigest().encode()


def _read_view(output: Store, origin: bytes, columns: Sequence[str] | None) -> pa.Table | None:
    """Read `results.parquet`, or return None where it or `metadata.parquet` is of another origin."""
    try:
        for name in (METADATA, RESULTS):
            data = output.read(name)
            if read_metadata(data).get(_ORIGIN) != origin:
                return None
        return read_table(data, Result.SCHEMA, columns)
    except (OSError, pa.ArrowException):  # not there or damaged: it is made anew
        return None


def _make_view(output: Store, photos: pa.Table, styles: Sequence[str] | None) -> pa.Table:
    """Write the tables; returns the rows of `results.parquet`, long texts as dictionaries.

    Nothing is taken out of containers before `results.parquet` has stopped to name it, and `metadata.parquet` is last:
    who finds it of the same origin knows that all is done.
    """
    rows, members, inventory = _collect_view(output, photos, styles)
    origin = _origin(inventory, photos, styles)
    _write(output, RESULTS, rows, {**(Result.SCHEMA.metadata or {}), _ORIGIN: origin})
    vacuum.drop_stale(output, output.child(PARTS), members, inventory)
    _write(output, METADATA, make_metadata(rows), {_ORIGIN: origin})
    return rows


def _collect_view(
    output: Store, photos: pa.Table, styles: Sequence[str] | None
) -> tuple[pa.Table, pa.Table, snapshots.Inventory]:
    """Return the rows of `results.parquet`, what containers should hold, and the parts that both follow from."""
    parts = output.child(PARTS)
    collected = snapshots.collect(parts, _LEAN)
    snapshots.compact(parts, collected)
    ledger = collected.rows.unify_dictionaries()
    kept = _is_current(ledger)
    members = vacuum.name_members(ledger, kept)
    kept = kept & _is_in(ledger["key"], photos["key"].combine_chunks())
    if styles is not None:
        kept &= _is_in(ledger["style"], pa.array(styles, pa.string()))
    [places] = kept.nonzero()
    order = pc.sort_indices(ledger.select(_NAMES).take(places), [(name, "ascending") for name in _NAMES])
    return ledger.take(places[order]), members, collected.inventory


def _is_in(values: pa.ChunkedArray, wanted: pa.Array) -> np.ndarray:
    return pc.is_in(values, value_set=wanted).to_numpy()


def _write(output: Store, key: str, rows: pa.Table, facts: Mapping[bytes, bytes]) -> None:
    schema = pa.schema([Result.SCHEMA.field(name) for name in rows.column_names], facts)
    output.write(key, table_bytes_by_row_group(rows, schema, _ROWS_AT_ONCE))
