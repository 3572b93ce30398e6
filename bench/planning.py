"""What planning a run costs: a listing of so many photos, and what of it lacks, with nothing done and with all done.

    python bench/planning.py --photos 1000000

The listing is made up in memory: how fast a store lists is not in these figures, nor how long it takes to read its
parts.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from artbank import manifest
from artbank.records import Result, StoredObject


class MadeUpArchive:
    """As much of a store as listing needs."""

    def __init__(self, num_photos: int):
        self.num_photos = num_photos

    def scan(self) -> Iterator[StoredObject]:
        """Yield photos in folders of a thousand."""
        for i in range(self.num_photos):
            yield StoredObject(f"archive/roll {i // 1000:04d}/photo-{i:07d}.jpg", 2_000_000 + i, f"{i:032x}")


def main() -> None:
    """Print seconds, and the process's peak memory after each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1_000_000)
    count = parser.parse_args().photos
    archive: Any = MadeUpArchive(count)
    photos = measure("listed", lambda: manifest.list_archive(archive))
    nothing = Result.SCHEMA.empty_table().select(manifest.DONE_COLUMNS)
    measure("planned, nothing done", lambda: lacking(photos, nothing))
    measure("planned, all done", lambda: lacking(photos, finish(photos)))


def lacking(photos: pa.Table, done: pa.Table) -> pa.Table:
    """Return what lacks of one style."""
    return manifest.plan(photos, done, {"monet": "r1"}, retry_failed=False)


def finish(photos: pa.Table) -> pa.Table:
    """Return a ledger in which all photos are done."""
    facts = {"sha256": "0" * 64, "style": "monet", "recipe_id": "r1", "status": "done", "seconds": 0.1}
    columns = {name: pa.repeat(pa.scalar(value), len(photos)) for name, value in facts.items()}
    when = pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC")), len(photos))
    columns |= {"failure": pa.nulls(len(photos), pa.string()), "created_at": when}
    done = {"key": photos["key"], "etag": photos["etag"], **columns}
    return pa.table({name: done[name] for name in manifest.DONE_COLUMNS})


def measure(name: str, work: Callable[[], pa.Table]) -> pa.Table:
    """Do some work and print what it took."""
    start = time.perf_counter()
    table = work()
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name}: {len(table):,} rows in {seconds:.1f} s, peak {peak:,.0f} MB")
    return table


if __name__ == "__main__":
    main()
