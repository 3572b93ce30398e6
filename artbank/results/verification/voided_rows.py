"""Rows that void pictures, so that those found missing, damaged or lost by `verify` do not count as done.

Every missing or damaged picture and every lost row gets a row with the failure `damaged`, in a part of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import sliced

from artbank.config import StylizeConfig
from artbank.records.photo_records import Result
from artbank.results import layout, ledger
from artbank.results.manifest import manifest_of
from artbank.results.verification.inventory import PAIR
from artbank.results.verification.verify import Report
from artbank.results.void import VOIDED, exactly, void_row
from artbank.runtime.hashing import short_hash
from artbank.store.delivered import require_all
from artbank.store.objects import Store
from artbank.store.parquet import read_table

_ROWS_AT_ONCE = 4096  # rows of one part
_MISSING = "its picture was missing when the output was verified"
_DAMAGED = "its picture was damaged when the output was verified"
_LOST = "no part had its row when the output was verified"


def commit_voided(report: Report, configs: Mapping[tuple[str, str], StylizeConfig]) -> None:
    """Commit a row with the failure `damaged` for each bad or lost picture; an earlier repair's part stays.

    Args:
        report: From `verify`.
        configs: Parameters that draw each wanted style and recipe.

    Raises:
        OSError: The store failed.
    """
    now = datetime.now(UTC)
    batches = [rows for rows in (*_void_faults(report, now), *_void_lost(report, configs, now)) if rows]
    names = [f"{row.key}\n{row.style}" for batch in batches for row in batch]
    content = "\n\n".join([*names, *sorted(report.inventory.parts)])
    repair_id = f"{VOIDED}{short_hash(content)}"
    for number, rows in enumerate(batches):
        ledger.commit(report.inventory.output, f"{repair_id}-{number:05d}", rows)


def _void_faults(report: Report, now: datetime) -> Iterator[list[Result]]:
    faults = report.faults.sort_by([("shard", "ascending"), *((name, "ascending") for name in PAIR)])
    for batch in sliced(faults, _ROWS_AT_ONCE):
        missing = set(batch.filter(pc.field("kind") == "missing_picture")["file_name"].to_pylist())
        yield [_void_row(row, row.file_name in missing, now) for row in _read_rows(report.inventory.output, batch)]


def _void_row(row: Result, is_missing: bool, now: datetime) -> Result:
    return void_row(row, "damaged", f"{_MISSING if is_missing else _DAMAGED}: {row.file_name}", now)


def _read_rows(output: Store, rows: pa.Table) -> list[Result]:
    """Read all columns of some rows, by key and style.

    Args:
        output: Where the parts are.
        rows: The rows, with `shard`, `key`, `style` and `created_at`.
    """
    keys = [layout.part_key(shard_id) for shard_id in pc.unique(rows["shard"]).to_pylist()]
    wanted = {(row["key"], row["style"], row["created_at"]) for row in rows.to_pylist()}
    complete_rows: list[Result] = []
    for data in require_all(output.read_many(keys)).values():
        part_rows = read_table(data, Result.SCHEMA).filter(pc.field("key").isin(rows["key"].combine_chunks()))
        complete_rows += [row for row in Result.from_table(part_rows) if (row.key, row.style, row.created_at) in wanted]
    return sorted(complete_rows, key=lambda row: (row.key, row.style))


def _void_lost(
    report: Report, configs: Mapping[tuple[str, str], StylizeConfig], now: datetime
) -> Iterator[list[Result]]:
    for batch in sliced(report.lost, _ROWS_AT_ONCE):
        with_configs = [(row, configs.get((row["style"], row["recipe_id"]))) for row in batch.to_pylist()]
        recorded = report.inventory.configs
        yield [
            _lost_row(row, config, recorded.get(manifest_of(str(row["shard"])), config), now)
            for row, config in with_configs
            if config is not None
        ]


def _lost_row(row: dict[str, object], config: StylizeConfig, drawn_with: StylizeConfig, now: datetime) -> Result:
    """Return the voided row of lost work.

    Args:
        row: Key, size, etag, style and recipe id.
        config: The parameters of a run that draws this style with this recipe.
        drawn_with: The parameters of the run that drew the lost picture. Mark and metadata are taken from them, since
            other runs with the same recipe may have other ones.
        now: The time of the new row.
    """
    facts = {name: row[name] for name in ("key", "size", "etag", "style", "recipe_id")}
    recipe = {"base_model": config.base_model, "base_model_hash": "", "recipe": config.recipe.model_dump_json()}
    failed = {"sha256": None, "status": "failed", "failure": "damaged", "reason": _LOST, "bank_ids": []}
    marks = exactly(drawn_with.recipe.mark, drawn_with.recipe.metadata)
    return Result(**facts, **recipe, **failed, **marks, seconds=0.0, created_at=now)  # pyright: ignore[reportArgumentType]
