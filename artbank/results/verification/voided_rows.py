"""Rows that void pictures: what was missing, damaged or lost when an output was verified does not count as done.

Every missing or damaged picture and every lost row gets a row with the failure `damaged`, in a part of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import sliced

from artbank.config import StylizeConfig
from artbank.records.photo_records import Result
from artbank.results import layout, ledger
from artbank.results.manifest import manifest_of
from artbank.results.verification.inventory import PAIR, REPAIR
from artbank.results.verification.verify import Report
from artbank.runtime.hashing import short_hash
from artbank.store.delivered import require_all
from artbank.store.objects import Store
from artbank.store.parquet import read_table

_ROWS_AT_ONCE = 4096  # rows of one part
_MISSING = "its picture was missing when the output was verified"
_DAMAGED = "its picture was damaged when the output was verified"
_LOST = "no part had its row when the output was verified"
_CLEARED = dict.fromkeys(
    (*("file_name", "file_size", "file_sha256", "width_px", "height_px", "seed", "scorer", "ssim"),
     *("clip_style", "clip_style_floor", "clip_style_recoloured", "clip_text", "clip_content", "clip_direction"),
     *("dino_structure", "structure_model", "csd_style", "csd_style_floor", "style_model"),
     *("clip_texture", "clip_texture_floor"),
     *("structure", "lightness", "strength", "gain", "candidates"),
     *("kept_metadata", "photo_marks", "prompt"))
)  # fmt: skip


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
    repair_id = f"{REPAIR}{short_hash(content)}"
    for number, rows in enumerate(batches):
        ledger.commit(report.inventory.output, f"{repair_id}-{number:05d}", rows)


def _void_faults(report: Report, now: datetime) -> Iterator[list[Result]]:
    faults = report.faults.sort_by([("shard", "ascending"), *((name, "ascending") for name in PAIR)])
    for some in sliced(faults, _ROWS_AT_ONCE):
        missing = set(some.filter(pc.field("kind") == "missing_picture")["file_name"].to_pylist())
        yield [_void_row(row, row.file_name in missing, now) for row in _read_rows(report.inventory.output, some)]


def _void_row(row: Result, is_missing: bool, now: datetime) -> Result:
    reason = f"{_MISSING if is_missing else _DAMAGED}: {row.file_name}"
    at = max(now, row.created_at + timedelta(microseconds=1))  # it must be the latest row, whatever any clock says
    failed = {"status": "failed", "failure": "damaged", "reason": reason, "created_at": at}
    return replace(row, **_CLEARED, flags=[], **_exactly(row.mark, row.metadata), **failed)


def _exactly(mark: str | None, metadata: str | None) -> dict[str, Any]:
    """Return the columns of a voided row that let a run draw its picture with the same mark and metadata.

    Older versions wrote neither, and their rows do not say so.
    """
    return {"mark": mark or "none", "metadata": metadata or "none"}


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
        own = report.inventory.configs
        yield [
            _lost_row(row, config, own.get(manifest_of(str(row["shard"])), config), now)
            for row, config in known
            if config is not None
        ]


def _lost_row(row: dict[str, object], config: StylizeConfig, own: StylizeConfig, now: datetime) -> Result:
    """Return the voided row of lost work; its `own` run tells mark and metadata, which other runs may have changed."""
    facts = {name: row[name] for name in ("key", "size", "etag", "style", "recipe_id")}
    recipe = {"base_model": config.base_model, "base_model_hash": "", "recipe": config.recipe.model_dump_json()}
    failed = {"sha256": None, "status": "failed", "failure": "damaged", "reason": _LOST, "bank_ids": []}
    exactly = _exactly(own.recipe.mark, own.recipe.metadata)
    return Result(**facts, **recipe, **failed, **exactly, seconds=0.0, created_at=now)  # pyright: ignore[reportArgumentType]
