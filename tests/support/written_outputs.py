"""Outputs that are written row by row, without a run, for tests of their verification and repair."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pyarrow as pa
from PIL import Image

from artbank.records.photo_records import PhotoTask, Result
from artbank.results import ledger, tables
from artbank.results.manifest import Manifest, Shard
from artbank.results.verification.verify import Report
from artbank.store.objects import Store
from tests.support.rows import result

RECIPES = {"hokusai": "r2", "monet": "r1"}
"""The recipe of each style."""


def picture(colour: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(sink, "BMP")  # which is of one size whatever it shows
    return sink.getvalue()


def plan(output: Store, count: int = 5, recipes: dict[str, str] = RECIPES) -> list[Shard]:
    """Write a manifest of some photos in both styles, two of them a shard."""
    tasks = PhotoTask.to_table(PhotoTask(f"{n}.png", 1, "e", sorted(recipes), None) for n in range(count))
    manifest = Manifest.write(output, tasks, 2, recipes)
    assert manifest
    return manifest.shards


def rows_of(output: Store, shard: Shard, **values: Any) -> list[Result]:
    """Draw what a shard asks for; returns its rows."""
    rows = []
    for task in Manifest.open(output, shard.manifest_id).tasks(shard):
        for style in task.styles:
            name, data = f"{style}/{task.key}", picture(len(rows))
            output.write(name, data)
            facts = {"file_size": len(data), "file_sha256": hashlib.sha256(data).hexdigest()}
            rows.append(result(task.key, style, etag="e", recipe_id=RECIPES[style], **facts | values))
    return rows


def fill(output: Store, **values: Any) -> list[Shard]:
    """Leave what a run leaves: five photos in two styles, three shards."""
    shards = plan(output)
    for shard in shards:
        ledger.commit(output, shard.id, rows_of(output, shard, **values))
    write_tables(output)
    return shards


def write_tables(output: Store, *keys: str) -> None:
    tables.update_tables_and_vacuum(output, pa.table({"key": pa.array(keys or [f"{n}.png" for n in range(5)])}))


def rewrite(output: Store, key: str, data: bytes) -> None:
    output.delete_many([key])
    output.write(key, data)


def found(report: Report, *, kind: str | None = None) -> list[str]:
    """Return what is named, as `kind place`, or the texts of one kind."""
    rows = report.findings.to_pylist()
    if kind:
        return [row["text"] for row in rows if row["kind"] == kind]
    return [f"{row['kind']} {row['file_name'] or row['style'] + '/' + row['key']}" for row in rows]
