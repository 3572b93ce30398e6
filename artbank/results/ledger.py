"""The rows of every photo: parts that are only added.

A shard's part is written after its pictures, so whoever sees a part may trust its pictures. All
parts together are the ledger. The newest row of a photo and style is its latest row: its
recipe made the picture in the store, unless a shard was started later and has no part.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ResultsError
from artbank.records.photo_records import Result
from artbank.results import snapshots
from artbank.results.layout import PARTS, part_key, part_name
from artbank.results.snapshots import PartListing
from artbank.runs.outcome import Tally
from artbank.store.objects import Store
from artbank.store.parquet import read_metadata, read_table, table_bytes

_TALLY = b"artbank.tally"
_PHOTO_AND_STYLE = ["key", "style"]
_REPEATED = (
    *("recipe_id", "scorer", "structure_model", "style_model"),
    *("base_model", "base_model_hash", "recipe"),
)  # texts that are the same in most rows
_TEXTS = pa.dictionary(pa.int32(), pa.string())
LEAN_SCHEMA = pa.schema([field.with_type(_TEXTS) if field.name in _REPEATED else field for field in Result.SCHEMA])
"""The columns of `Result` for all rows of a large output: long texts that repeat are dictionaries."""


def commit(output: Store, shard_id: str, rows: Sequence[Result], tally: Tally | None = None) -> None:
    """Write a shard's part, after its pictures. If another worker was first, its part stays.

    Args:
        output: Where the results are.
        shard_id: The shard.
        rows: One for each photo and style of the shard.
        tally: Counted from the rows when None. Rows do not say which pictures were kept, see
            `read_tallies`.
    """
    table = Result.to_table(rows)
    facts = {**(Result.SCHEMA.metadata or {}), _TALLY: json.dumps(asdict(tally or _count(table))).encode()}
    output.create(part_key(shard_id), table_bytes(table.replace_schema_metadata(facts)))


def read_tallies(output: Store, shard_ids: Iterable[str]) -> dict[str, Tally]:
    """Read the tallies of those shards that have a part, by shard id.

    Raises:
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    keys = {part_key(shard_id): shard_id for shard_id in shard_ids}
    parts = {keys[key]: data for key, data in output.read_many(list(keys)).items()}
    tallies = {}
    for shard_id, data in parts.items():
        if isinstance(data, FileNotFoundError):
            continue
        if isinstance(data, Exception):
            raise data
        tallies[shard_id] = _read_tally(output, shard_id, data)
    return tallies


def is_committed(output: Store, shard_id: str) -> bool:
    """Return whether a shard's part exists, and with it all its pictures."""
    return output.exists(part_key(shard_id))


def without_part(output: Store, shard_ids: Iterable[str]) -> set[str]:
    """Return those of some shards that have no part."""
    parts = set(part_names(output))
    return {shard_id for shard_id in shard_ids if part_name(shard_id) not in parts}


def list_parts(output: Store) -> PartListing:
    """List all parts, and the snapshots of their rows."""
    return snapshots.list_parts(output.child(PARTS))


def part_names(output: Store) -> list[str]:
    """Return the file names of all parts, sorted."""
    return list(list_parts(output).etags)


def read_ledger(
    output: Store,
    columns: Sequence[str] | None = None,
    *,
    listing: PartListing | None = None,
    schema: pa.Schema = Result.SCHEMA,
) -> pa.Table:
    """Read all parts, in the order of their names.

    Args:
        output: Where the results are.
        columns: Columns of `Result` to read; all when None. `latest_rows` needs `key`, `style` and
            `created_at`.
        listing: The parts to read, from `list_parts`; listed now when None.
        schema: That of `Result`, or `LEAN_SCHEMA`.

    Raises:
        ResultsError: A part cannot be read.
    """
    return snapshots.read_rows(output.child(PARTS), listing or list_parts(output), schema, columns).rows


def latest_rows(ledger: pa.Table) -> pa.Table:
    """Keep the latest row of each photo and style."""
    return ledger.filter(pa.array(is_latest(ledger)))


def is_latest(ledger: pa.Table) -> np.ndarray:
    """Tell for each row, bool [rows], whether it is the latest of its photo and style.

    If rows have the same time, the last in the ledger's order counts.
    """
    order = ledger["created_at"].cast(pa.int64()).to_numpy().argsort(kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    ranked = ledger.select(_PHOTO_AND_STYLE).append_column("rank", pa.array(rank))
    latest = ranked.group_by(_PHOTO_AND_STYLE).aggregate([("rank", "max")])["rank_max"].to_numpy()
    kept = np.zeros(len(order), bool)
    kept[order[latest]] = True
    return kept


def _read_tally(output: Store, shard_id: str, data: bytes) -> Tally:
    """Read the tally of a part; count the rows of a part that an older version wrote without one."""
    try:
        written = read_metadata(data).get(_TALLY)
        if written is None:
            return _count(read_table(data, Result.SCHEMA, ["status", "seconds"]))
        return Tally(**json.loads(written))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ResultsError(
            f"{output.uri_of(part_key(shard_id))} should be a shard's part, but cannot be read ({error}); "
            "delete it and run again, which stylizes its photos again"
        ) from error


def _count(rows: pa.Table) -> Tally:
    done = rows.filter(pc.field("status") == "done")
    return Tally(len(done), len(rows) - len(done), 0, pc.sum(done["seconds"]).as_py() or 0.0)
