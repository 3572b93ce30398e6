"""Measure runs over a finished archive of a million photos, and over the same archive after it has grown.

    python bench/million.py --at FOLDER                                  everything below that folder
    python bench/million.py --at FOLDER --output s3://bucket/output      the results in a bucket

The archive is real: a file for each photo (an empty one, because nothing here reads it), a bank of a few steps, a
manifest, and a part for each shard with rows of realistic length. Only the pictures are missing. Five runs follow, each
in a process of its own: one that finishes the archive, two with nothing to do, one with some thousand new photos, and
one with nothing to do again. Each step prints its seconds, its CPU seconds and the peak memory so far. The process of
the run that finishes the archive also makes its parts, which is in no step.

    python bench/million.py --list s3://bucket/photos                    how long a store takes to list what is there

A million photos take a million inodes and 1 GB, and all of it ten minutes on 2 CPU cores.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artbank.archive import finish
from artbank.archive import plan as archives
from artbank.archive.plan import StylizePlan
from artbank.config import StylizeConfig, TrainConfig
from artbank.images.codec import Picture, encode
from artbank.mini.drawing.painters import HELD_OUT, paint
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe
from artbank.records.photo_records import PhotoTask, Result
from artbank.results import archive_listing, layout, pending, tables
from artbank.results.manifest import Manifest
from artbank.store.objects import Store
from artbank.store.parquet import read_table, table_bytes
from bench.build_kit import train_bank

STEPS = (
    (archive_listing, "list_archive"),
    (pending, "read_done"),
    (pending, "find_pending"),
    (Manifest, "write"),
    (pending, "delete_settled_marks"),
    (tables, "update_tables_and_vacuum"),
    (finish, "results_summary"),
    (finish, "write_outcome"),
)
"""The work of a run beside the shards, each timed where it is called."""
SCORES = ("clip_style", "clip_style_floor", "clip_text", "clip_content", "clip_direction", "ssim")
_PHOTOS_IN_A_FOLDER = 1000
_PARTS_AT_ONCE = 256


def main() -> None:
    """Make the missing inputs, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", help="a folder of this machine")
    parser.add_argument("--output", help="URI of the results; a folder below --at by default")
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--added", type=int, default=3_000)
    parser.add_argument("--list", help="only list this store")
    parser.add_argument("--child", choices=("train", "run", "commit"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.list:
        measure("list_archive", archive_listing.list_archive)(Store.open(asked.list))
    elif asked.child == "train":
        train(asked.at)
    elif asked.child == "run":
        run(configure(asked))
    elif asked.child == "commit":
        commit(configure(asked), pickle.load(sys.stdin.buffer))
    else:
        measure_all(asked)


def configure(asked: argparse.Namespace) -> StylizeConfig:
    """Return the configuration of the measured run."""
    facts = {"archive_uri": f"{asked.at}/archive", "store_uri": f"{asked.at}/store", "styles": (HELD_OUT[0],)}
    return StylizeConfig.model_validate({**facts, "output_uri": asked.output or f"{asked.at}/output"})


def measure_all(asked: argparse.Namespace) -> None:
    """Make the archive and do the five runs."""
    start_child("train")
    add_photos(Path(asked.at) / "archive", "archive", asked.photos)
    for title in ("the run that finishes it", "nothing to do", "nothing to do again"):
        print(f"\n{title}", flush=True)
        measure("whole process", start_child)("run")
    add_photos(Path(asked.at) / "archive", f"added {time.time_ns()}", asked.added)
    for title in (f"{asked.added:,} photos more", "nothing to do after that"):
        print(f"\n{title}", flush=True)
        measure("whole process", start_child)("run")


def start_child(job: str, stdin: bytes | None = None) -> None:
    """Run one job in a process of its own."""
    subprocess.run([sys.executable, *sys.argv, "--child", job], input=stdin, check=True)


def run(config: StylizeConfig) -> None:
    """Plan, let another process commit the shards, and finish."""
    for module, name in STEPS:
        setattr(module, name, measure(name, getattr(module, name)))
    plan, shards, photos = measure("plan_archive", archives.plan_archive)(config)
    if shards:
        start_child("commit", pickle.dumps(plan))
    outcome = measure("finish_archive", finish.finish_archive)(config, plan, photos)
    print(f"  {len(photos):,} photos, {plan.num_tasks:,} to do, {outcome.num_done:,} done")


def measure(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that also prints its time and memory."""

    def measured(*args: Any, **values: Any) -> Any:
        start = time.perf_counter()
        cpu_start = time.process_time()
        outcome = work(*args, **values)
        seconds = time.perf_counter() - start
        cpu_seconds = time.process_time() - cpu_start
        print(f"  {name:26}{seconds:7.1f} s, {cpu_seconds:6.1f} of CPU, peak {peak_mb():7,.0f} MB", flush=True)
        return outcome

    return measured


def peak_mb() -> float:
    """Return the most memory that this process has held (Linux); `getrusage` includes the parent's."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def train(at: str) -> None:
    """Train a bank of a few steps, as the style of the run."""
    name = HELD_OUT[0]
    gallery = Store.open(f"{at}/gallery")
    pictures = [paint(draw_scene(i, width_px=96, height_px=64).image, name, i) for i in range(4)]
    gallery.write_many(
        {f"{name}/{i}.png": encode(Picture(p, None), ".png", quality=92) for i, p in enumerate(pictures)}
    )
    recipe = BankRecipe(max_steps=2, batch_size=1, num_crops=1, resolution_px=32, num_tokens=2, validate_every=2)
    config = TrainConfig(
        gallery_uri=f"{at}/gallery", store_uri=f"{at}/store", recipe=recipe, num_samples=1, num_milestones=0
    )
    train_bank(config)


def add_photos(archive: Path, name: str, count: int) -> None:
    """Make empty files in folders of a thousand; folders that exist are not changed."""
    for start in range(0, count, _PHOTOS_IN_A_FOLDER):
        folder = archive / name / f"roll {start // _PHOTOS_IN_A_FOLDER:04d}"
        if not folder.exists():
            folder.mkdir(parents=True)
            for number in range(start, min(start + _PHOTOS_IN_A_FOLDER, count)):
                (folder / f"photo-{number:07d}.jpg").touch()


def commit(config: StylizeConfig, plan: StylizePlan) -> None:
    """Write the parts of a run's shards as their workers would have, many at once."""
    output = Store.open(config.output_uri)
    tasks = read_table(output.read(layout.manifest_key(plan.run_id)), PhotoTask.SCHEMA)
    size = config.shard_size
    for first in range(0, plan.num_shards, _PARTS_AT_ONCE):
        rows = make_rows(config, plan, tasks.slice(first * size, _PARTS_AT_ONCE * size))
        numbers = range(first, min(first + _PARTS_AT_ONCE, plan.num_shards))
        bodies = [table_bytes(rows.slice((number - first) * size, size)) for number in numbers]
        keys = [layout.part_key(f"{plan.run_id}-{number:05d}") for number in numbers]
        output.write_many(dict(zip(keys, bodies, strict=True)))


def make_rows(config: StylizeConfig, plan: StylizePlan, tasks: pa.Table) -> pa.Table:
    """Return invented rows of `Result` for real tasks; one photo in a thousand has failed."""
    count, [style], random = len(tasks), plan.styles, np.random.default_rng()
    keys = tasks["key"].to_pylist()
    done = random.integers(1000, size=count) > 0
    facts: dict[str, Any] = {name: tasks[name] for name in ("key", "size", "etag")}
    facts |= {name: random.uniform(-1, 1, count) for name in SCORES}
    facts |= {
        "sha256": [hashlib.sha256(key.encode()).hexdigest() for key in keys],
        "file_sha256": [random.bytes(32).hex() for _ in keys],
        "file_name": [f"{style.name}/{key}" for key in keys],
        "file_size": random.integers(50_000, 500_000, count),
        "seed": random.integers(2**62, size=count),
        "seconds": random.uniform(0.1, 0.2, count),
        "failure": np.where(done, None, "unreadable"),
        "reason": np.where(done, None, "cannot identify image file"),
        "status": np.where(done, "done", "failed"),
    }
    same = {
        "style": style.name,
        "recipe_id": style.recipe_id,
        "bank_ids": style.bank_ids,
        "base_model": config.base_model,
        "base_model_hash": plan.base_model_hash,
        "recipe": config.recipe.model_dump_json(),
        "scorer": "openai/clip-vit-large-patch14@0a1b2c3d4e5f",
        "flags": [],
        "width_px": 512,
        "height_px": 384,
        "created_at": datetime.now(UTC),
    }
    facts |= {name: pa.repeat(pa.scalar(value, Result.SCHEMA.field(name).type), count) for name, value in same.items()}
    return pa.table({name: facts[name] for name in Result.SCHEMA.names}, schema=Result.SCHEMA)


if __name__ == "__main__":
    main()
