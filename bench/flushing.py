"""Measure how much longer writing pictures takes if each is flushed to the disk: `python bench/flushing.py [FOLDER]`.

It writes five shards of 64 small pictures, eight at once, with the part of each shard, in alternating rounds with and
without flushes. FOLDER should be on the disk of interest; a memory file system flushes for nothing.
"""

from __future__ import annotations

import os
import sys
import time
from statistics import median
from tempfile import TemporaryDirectory

from artbank.store.objects import Store

ROUNDS = 5
SHARDS = 5
BATCHES = 8
BATCH = 8
PICTURE_BYTES = 12_000


def write_shards(folder: str, *, is_durable: bool) -> float:
    """Write everything once; returns the wall seconds."""
    store = Store.open(folder, is_durable=is_durable)
    picture = os.urandom(PICTURE_BYTES)
    start = time.perf_counter()
    for shard in range(SHARDS):
        for batch in range(BATCHES):
            store.write_many({f"style/{shard}-{batch}-{number}.jpg": picture for number in range(BATCH)})
        store.create(f"results/part-{shard}.parquet", picture)
    return time.perf_counter() - start


def main(folder: str | None) -> None:
    """Print the seconds of both kinds, and the cost of a picture."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for is_durable, found in seconds.items():
            with TemporaryDirectory(dir=folder) as place:
                found.append(write_shards(place, is_durable=is_durable))
    full, fast = (median(seconds[is_durable]) for is_durable in (True, False))
    ratio = median(a / b for a, b in zip(seconds[True], seconds[False], strict=True))
    num_pictures = SHARDS * BATCHES * BATCH
    print(
        f"{num_pictures} pictures of {PICTURE_BYTES:,} bytes: {full:.2f} s flushed, {fast:.2f} s not: {ratio:.1f} times"
    )
    print(f"a picture costs {(full - fast) / num_pictures * 1e3:.1f} ms more")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
