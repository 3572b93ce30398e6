"""Manifests of an output: written, read, and what a run over a listing would have to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from artbank.errors import Failure
from artbank.records.photo_records import PhotoTask, Result
from artbank.results import ledger, pending
from artbank.results.manifest import Manifest, Shard
from artbank.store.objects import Store


def write_shards(output: Store, tasks: pa.Table, shard_size: int, recipes: Mapping[str, str]) -> list[Shard]:
    """Write a manifest; returns its shards, none where there is nothing to do."""
    manifest = Manifest.write(output, tasks, shard_size, recipes)
    return manifest.shards if manifest else []


def read_tasks(output: Store, shard: Shard) -> list[PhotoTask]:
    """Return the tasks of a shard."""
    return Manifest.open(output, shard.manifest_id).tasks(shard)


def read_known(output: Store, shard: Shard) -> dict[tuple[str, str], Result]:
    """Return the rows that a manifest knows of the photos of a shard, by key and style."""
    return Manifest.open(output, shard.manifest_id).known_rows(shard)


def plan(
    photos: pa.Table,
    rows: Sequence[Result],
    recipes: Mapping[str, str],
    *,
    retry: bool = False,
    failures: Sequence[Failure] = (),
) -> list[tuple]:
    """Return key, etag, styles and known content of each photo that a run has to do."""
    done = ledger.latest_rows(Result.to_table(rows)).select(pending.DONE_COLUMNS)
    tasks = PhotoTask.from_table(pending.find_pending(photos, done, recipes, retry_failed=retry, failures=failures))
    return [(task.key, task.etag, task.styles, task.known_sha256) for task in tasks]
