"""Measure the verification of an intact output: pictures in one style, in shards of 64.

    python bench/verifying.py --pictures 1000000

The output is invented in memory, with pictures of a kilobyte, so the figures include no time of a store.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from artbank.records.photo_records import PhotoTask, Result
from artbank.results import layout, tables
from artbank.results.manifest import Manifest
from artbank.results.verification.verify import verify
from artbank.store.objects import StoredObject
from artbank.store.parquet import cast_to_schema, table_bytes

SHARD = 64
RECIPES = {"monet": "r1"}
PICTURE = bytes(1024)


class InventedOutput:
    """The part of a store that a verification uses: written tables, and the same picture under every other name."""

    uri = "invented"

    def __init__(self, num_pictures: int):
        self.num_pictures = num_pictures
        self.written: dict[str, bytes] = {}

    def create(self, key: str, data: bytes) -> bool:
        """Store a table."""
        self.written[key] = data
        return True

    write = create

    def child(self, _: str) -> InventedOutput:
        """Return an empty store, for the names of parts."""
        return InventedOutput(0)

    def list(self) -> list[StoredObject]:
        """Return no objects."""
        return []

    def scan(self) -> Iterator[StoredObject]:
        """Yield the written tables, and the pictures in folders of a thousand."""
        yield from (StoredObject(key, len(data), "") for key, data in self.written.items())
        yield from (StoredObject(f"monet/{photo(i)}", len(PICTURE), "") for i in range(self.num_pictures))

    def list_leftovers(self, **_: float) -> list[str]:
        """Return no leftovers."""
        return []

    def read(self, key: str) -> bytes:
        """Return a table."""
        return self.written[key]

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return tables or pictures."""
        return {key: self.written.get(key, PICTURE) for key in keys}


def main() -> None:
    """Print the seconds and the peak memory of each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    output: Any = InventedOutput(parser.parse_args().pictures)
    measure("invented", lambda: fill(output))
    for quick in (True, False):
        report = measure("verified, quick" if quick else "verified", lambda quick=quick: verify(output, quick=quick))
        assert report.counts == {}, report.counts


def measure(what: str, work: Any) -> Any:
    """Run a step and print its time and memory."""
    start = time.monotonic()
    cpu = time.process_time()
    found = work()
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what}: {time.monotonic() - start:.1f} s ({cpu:.1f} s of CPU), peak {peak:.2f} GB", flush=True)
    return found


def fill(output: Any) -> None:
    """Write manifest, parts and tables of a complete run."""
    count = output.num_pictures
    keys = pa.array([photo(i) for i in range(count)], pa.string())
    facts = {"size": pa.repeat(1, count), "etag": pa.repeat("e", count), "known_sha256": pa.nulls(count, pa.string())}
    styles = pa.ListArray.from_arrays(pa.array(range(count + 1), pa.int32()), pa.repeat("monet", count))
    tasks = cast_to_schema(pa.table({"key": keys, "styles": styles, **facts}), PhotoTask.SCHEMA)
    manifest = Manifest.write(output, tasks, SHARD, RECIPES)
    assert manifest
    rows = finish(tasks)
    for number, shard in enumerate(manifest.shards):
        output.create(layout.part_key(shard.id), table_bytes(rows.slice(number * SHARD, SHARD)))
    output.write(layout.RESULTS, table_bytes(rows, row_group_size=16_384))
    output.write(layout.METADATA, table_bytes(rows.select(tables.METADATA_COLUMNS)))


def finish(tasks: pa.Table) -> pa.Table:
    """Return the rows of a ledger in which all photos are done."""
    facts = {"style": "monet", "recipe_id": "r1", "status": "done", "recipe": "{}", "base_model": "mini"}
    facts |= {"file_size": len(PICTURE), "file_sha256": hashlib.sha256(PICTURE).hexdigest()}
    columns = {name: pa.repeat(pa.scalar(value), len(tasks)) for name, value in facts.items()}
    columns["created_at"] = pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC")), len(tasks))
    names = pa.array([f"monet/{key}" for key in tasks["key"].to_pylist()], pa.string())
    known = {name: tasks[name] for name in ("key", "size", "etag")}
    return cast_to_schema(pa.table({**known, "file_name": names, **columns}), Result.SCHEMA)


def photo(number: int) -> str:
    """Return the key of a photo."""
    return f"archive/roll {number // 1000:04d}/photo-{number:07d}.jpg"


if __name__ == "__main__":
    main()
