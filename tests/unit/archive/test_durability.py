"""A power cut takes nothing that a part names: pictures, marks and manifests are on the disk before it."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.config import StylizeConfig
from artbank.store.objects import Store
from tests.support.power_cut import Disk
from tests.support.small_inputs import draw_photo, stylizing


def run(config: StylizeConfig) -> None:
    plan, shards, _ = plan_archive(config)
    for shard in shards:
        stylize_shard(config, plan, shard)


@pytest.fixture
def config(tmp_path: Path, shelf: str) -> StylizeConfig:
    photos = Store.open(str(tmp_path / "photos"))
    photos.write_many({f"roll {number % 2}/{number}.jpg": draw_photo(number) for number in range(4)})
    return stylizing(photos.uri, str(tmp_path / "a folder/output"), shelf, "novak", batch_size=2, shard_size=2)


@pytest.mark.parametrize("form", ["images", "webdataset"])
def test_what_a_part_names_is_on_the_disk_before_the_part_has_its_name(
    config: StylizeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    output, disk, checked = Path(config.output_uri), Disk(tmp_path, monkeypatch), []
    flushing = threading.Lock()

    def check(path: Path, data: bytes) -> None:
        with flushing:
            if path.name.startswith("part-"):
                rows = pq.read_table(pa.BufferReader(data)).to_pylist()
                named = {output / row["file_name"] for row in rows}
                named |= {*output.glob("manifests/*"), *output.glob("runs/*/plan.json")}
                assert [path for path in named if not disk.survives(path)] == []
                checked.append(path)
            elif output / "novak" in path.parents:
                marks = list(output.glob("results/_begun-*"))
                assert marks and all(disk.survives(mark) for mark in marks)

    disk.watch(monkeypatch, check)
    run(config.model_copy(update={"format": form}))
    assert len(checked) == 2 and all(disk.survives(path) for path in checked)


def test_fast_durability_flushes_nothing(
    config: StylizeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, monkeypatch)
    run(config.model_copy(update={"durability": "fast"}))
    assert disk.num_flushes == 0
