"""Rows that void pictures: what was missing, damaged or lost when an output was verified does not count as done.

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
    for some in sliced(faults, _ROWS_AT_ONCE):
        missing = set(some.filter(pc.field("kind") == "missing_picture")["file_name"].to_pylist())
        yield [_void_row(row, row.file_name in missing, now) for row in _read_rows(report.inventory.output, some)]


def _void_row(row: Result, is_missing: bool, now: datetime) -> Result:
    return void_row(row, "damaged", f"{_MISSING if is_missing else _DAMAGED}: {row.file_name}", now)


def _read_rows(output: Store, some: pa.Table) -> list[Result]:
    """Read all columns of some rows, by key and style.

    Args:
        output: Where the parts are.
        some: The rows, with `shard`, `key`, `style` and `created_at`.
    """
    keys = [layout.part_key(shard_id) for shard_id in pc.unique(some["shard"]).to_pylist()]
    wanted = {(row["key"], row["style"], row["created_at"]) for row in some.to_pylist()}
    found: list[Result] = []
    for data in require_all(output.read_many(keys)).values():
        rows = read_table(data, Result.SCHEMA).filter(pc.field("key").isin(some["key"].combine_chunks()))
        found += [row for row in Result.from_table(rows) if (row.key, row.style, row.created_at) in wanted]
    return sorted(found, key=lambda row: (row.key, row.style))


def _void_lost(
    report: Report, configs: Mapping[tuple[str, str], StylizeConfig], now: datetime
) -> Iterator[list[Result]]:
    for some in sliced(report.lost, _ROWS_AT_ONCE):
        known = [(row, configs.get((row["style"], row["recipe_id"]))) for row in some.to_pylist()]
        drawn_with = report.inventory.configs
        yield [
            _lost_row(row, config, drawn_with.get(manifest_of(str(row["shard"])), config), now)
            for row, config in known
            if config is not None
        ]


def _lost_row(row: dict[str, object], config: StylizeConfig, drawn_with: StylizeConfig, now: datetime) -> Result:
    """Return the voided row of lost work; its `own` run tells mark and metadata, which other runs may have changed."""
    facts = {name: row[name] for name in ("key", "size", "etag", "style", "recipe_id")}
    recipe = {"base_model": config.base_model, "base_model_hash": "", "recipe": config.recipe.model_dump_json()}
    failed = {"sha256": None, "status": "failed", "failure": "damaged", "reason": _LOST, "bank_ids": []}
    marks = exactly(drawn_with.recipe.mark, drawn_with.recipe.metadata)
    return Result(**facts, **recipe, **failed, **marks, seconds=0.0, created_at=now)  # pyright: ignore[reportArgumentType]
