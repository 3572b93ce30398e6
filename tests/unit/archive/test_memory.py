"""Memory stays flat however many photos a worker has done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from artbank.store.objects import Store
from tests.support.paths import ROOT
from tests.support.small_inputs import draw_photo

_SCRIPT = """
if __name__ == "__main__":  # nothing above it: the processes that decode import this file again
    import json, sys
    from pathlib import Path
    import psutil
    from tests.support.small_inputs import add_collection, stylizing, train_all, training
    from artbank.archive.plan import plan_archive
    from artbank.archive.shard import stylize_shard
    from artbank.store.objects import Store
    from bench.trivial import SIDE_PX, save_trivial

    root, shard_size = Path(sys.argv[1]), int(sys.argv[2])
    model = {"base_model": str(save_trivial(root / "model"))}
    add_collection(Store.open(str(root / "gallery")), "novak")
    train = training(str(root / "gallery"), str(root / "store"), **model)
    train_all(train)
    recipe = {"steps": 1, "strength": 1.0, "guidance": 1.0, "inversion": "gaussian", "resolution_px": SIDE_PX}
    sizes = {"batch_size": 64, "shard_size": shard_size}
    output = str(root / "output")
    config = stylizing(str(root / "photos"), output, train.store_uri, "novak", recipe=recipe, **sizes, **model)
    plan, shards, _ = plan_archive(config)
    process, used = psutil.Process(), []
    for shard in shards:
        assert stylize_shard(config, plan, shard) == shard.num_photos
        used.append(sum(p.memory_info().rss for p in [process, *process.children(recursive=True)]))
    print(json.dumps(used))
"""


@pytest.mark.parametrize(
    ("num_photos", "most"),
    [pytest.param(800, 1.01, marks=pytest.mark.faults), pytest.param(10_000, 1.05, marks=pytest.mark.slow)],
)
def test_a_long_archive_takes_no_more_memory_than_its_first_eighth(
    tmp_path: Path, num_photos: int, most: float
) -> None:
    used = measure(tmp_path, num_photos, num_photos // 8)
    assert len(used) == 8
    assert max(used[1:]) < most * used[0], [f"{size >> 20} MB" for size in used]


def measure(folder: Path, num_photos: int, shard_size: int) -> list[int]:
    """Stylize photos in a process of its own; returns the bytes that it and its decoders hold after each shard."""
    few = [draw_photo(seed) for seed in range(8)]
    Store.open(str(folder / "photos")).write_many({f"{i:05d}.jpg": few[i % 8] for i in range(num_photos)})
    (folder / "script.py").write_text(_SCRIPT)
    command = [sys.executable, str(folder / "script.py"), str(folder), str(shard_size)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])
