"""A photo that ends every process that works on it: it is found out and named, and the run ends with all the others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dask
import distributed  # noqa: F401 - before its settings are set for a while: else its defaults go with them
import pytest

from artbank.parameters.run_config import RunConfig
from artbank.results import ledger
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.tasks.runners import _DASK, _start
from tests.support.flow_runs import run
from tests.support.interrupted_runs import check_whole
from tests.support.small_inputs import draw_photo, stylizing

_POISON = """
import os, signal
from artbank.stylization.stylizer import Stylizer

if Stylizer._stylize_batch.__name__ != "die_of_poison":  # a preload is imported twice
    draw = Stylizer._stylize_batch

def die_of_poison(self, batch, styles):
    if any(photo.key == "poison.jpg" and photo.padded.any() for photo in batch):
        os.kill(os.getpid(), signal.SIGKILL)
    yield from draw(self, batch, styles)

Stylizer._stylize_batch = die_of_poison
"""


# CI kills the processes of one machine: tests/unit/archive/test_poison_photos.py
@pytest.mark.slow
def test_a_photo_that_kills_every_worker_is_a_failed_row_and_the_run_ends(
    trained: Any, photos: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    archive = Store.open(str(shutil.copytree(photos, tmp_path / "photos")))
    archive.write("poison.jpg", draw_photo(9))
    preload = tmp_path / "poison.py"
    preload.write_text(_POISON)
    with (
        dask.config.set({**_DASK, "distributed.worker.preload": [str(preload)]}),
        _start(RunConfig(num_workers=1))() as cluster,
    ):
        address = cluster.scheduler_address
        sizes = {"shard_size": 3, "batch_size": 3}
        config = stylizing(archive.uri, str(tmp_path / "output"), trained.store, "novak", runner=address, **sizes)
        state = run(stylize_archive, config)
        assert state.is_completed(), state
    assert (state.result().num_done, state.result().num_failed) == (8, 1)
    check_whole(config.output_uri, undisturbed | {"novak/poison.jpg": b""}, lost="poison.jpg")
    [row] = [r for r in ledger.read_ledger(Store.open(config.output_uri)).to_pylist() if r["status"] == "failed"]
    assert (row["failure"], "4 attempts" in row["reason"]) == ("crashed", True)
