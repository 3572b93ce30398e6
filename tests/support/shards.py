"""Runs over small archives in this process, without a flow, and what they left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.config import StylizeConfig
from artbank.records.photo_records import Result
from artbank.results import ledger
from artbank.store.objects import Store
from tests.support.small_inputs import stylizing


def asked(photos: Store, shelf: str, **values: Any) -> StylizeConfig:
    """Return a run over photos in the style `novak`; its output is beside the photos by default."""
    output = values.pop("output", str(Path(photos.uri).parent / "output"))
    return stylizing(photos.uri, output, shelf, "novak", **{"batch_size": 2, **values})


def work(config: StylizeConfig, **options: Any) -> dict[str, Result]:
    """Do all shards of a run; returns the current rows by key."""
    plan, shards, _ = plan_archive(config)
    for shard in shards:
        stylize_shard(config, plan, shard, **options)
    return rows(config)


def rows(config: StylizeConfig) -> dict[str, Result]:
    """Return the current rows of an output by key; no photo has two."""
    found = Result.from_table(ledger.latest_rows(ledger.read_ledger(Store.open(config.output_uri))))
    assert len({row.key for row in found}) == len(found)
    return {row.key: row for row in found}


def pictures(config: StylizeConfig) -> dict[str, bytes]:
    """Return the pictures of an output by file name; its photos lie in no folders."""
    folder = Path(config.output_uri) / "novak"
    return {path.name: path.read_bytes() for path in folder.iterdir()}
