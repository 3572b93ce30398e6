"""Signals that reach every process of a command at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from artbank.results import attempts, ledger
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from tests.support import rgw
from tests.support.flaky import run_flaky
from tests.support.flow_runs import run
from tests.support.interrupted_runs import NUM_PHOTOS, asked, check_whole, copy_photos, start_command
from tests.support.small_inputs import TRAIN, training
from tests.support.waiting import slowness, wait_for

_TERMINATED = 143
_PROMISED_SECONDS = 30


def terminate_all(process: subprocess.Popen[bytes]) -> None:
    """Do what `systemctl stop` does: SIGTERM to a command and to all that it started."""
    for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        one.send_signal(signal.SIGTERM)


def check_end(process: subprocess.Popen[bytes], folder: Path, kept: str = "") -> None:
    """Stop all processes of a command, and check that it ends in time, in order, and in one line.

    Args:
        process: The command.
        folder: Where it writes.
        kept: What the line tells of what was kept, as a regular expression.
    """
    children = psutil.Process(process.pid).children(recursive=True)
    start = time.monotonic()
    terminate_all(process)
    try:
        assert process.wait(300) == _TERMINATED
    finally:
        process.kill()
    seconds = time.monotonic() - start
    assert seconds < _PROMISED_SECONDS * max(slowness(), os.getloadavg()[0] / (os.cpu_count() or 1))
    assert psutil.wait_procs(children, timeout=60)[1] == []
    told = (folder / "stderr").read_text()
    expected = f"artbank: terminated{kept}; run the same command again to go on"
    assert re.fullmatch(expected, told.splitlines()[-1]), told
    assert "Traceback" not in told and "ConnectError" not in told


@pytest.mark.parametrize("runner", [pytest.param("threads", marks=pytest.mark.slow), "dask"])
def test_a_stop_of_all_processes_gives_the_shard_back_and_the_next_run_completes_it(
    trained: Any, photos: str, undisturbed: dict[str, bytes], prefect_server: str, tmp_path: Path, runner: str
) -> None:
    output = Store.open(str(tmp_path / "output"))
    config = asked(photos, output.uri, trained.store, runner=runner, num_workers=1)
    process = start_command(config, tmp_path)
    wait_for(lambda: attempts.find_unfinished(output) or process.poll() is not None, 300, pause_seconds=0.01)
    check_end(process, tmp_path)
    assert len(ledger.part_names(output)) < NUM_PHOTOS / 2
    assert all(mark.is_given_back for mark in attempts.find_unfinished(output).values())
    assert run(stylize_archive, config.model_copy(update={"runner": "threads"})).is_completed()
    check_whole(output.uri, undisturbed)


# Such stores are rare; `tests/unit/archive/test_photo_reader.py` stops a wait for photos.
@pytest.mark.slow
def test_a_stop_does_not_wait_for_a_store_that_drips(
    trained: Any,
    photos: str,
    prefect_server: str,
    moto_endpoint: rgw.Endpoint,
    use_endpoint: Callable[[rgw.Endpoint], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    bucket = copy_photos(photos, use_endpoint(moto_endpoint))
    output = Store.open(str(tmp_path / "output"))
    with run_flaky(moto_endpoint) as flaky:
        flaky.dripping_key = ".jpg"
        monkeypatch.setenv("AWS_ENDPOINT_URL", flaky.endpoint.url)
        process = start_command(asked(bucket.uri_of("photos"), output.uri, trained.store), tmp_path)
        wait_for(lambda: flaky.faults["drip"] or process.poll() is not None, 300, pause_seconds=0.01)
        check_end(process, tmp_path)
    assert all(mark.is_given_back for mark in attempts.find_unfinished(output).values())


# Both runners stop in the same way as with photos, which the test above runs.
@pytest.mark.slow
@pytest.mark.parametrize("runner", ["threads", "dask"])
def test_a_stop_of_all_processes_ends_a_training_and_gives_its_collection_back(
    trained: Any, prefect_server: str, tmp_path: Path, runner: str
) -> None:
    recipe = {**TRAIN.model_dump(), "max_steps": 100_000, "patience": 100_000}
    store = Store.open(str(tmp_path / "store"))
    config = training(trained.gallery, store.uri, recipe=recipe, checkpoint_every=2, runner=runner, num_workers=1)
    process = start_command(config, tmp_path)

    def kept() -> list[str]:
        return [one.key for one in store.list("checkpoints") if one.key.endswith(".safetensors")]

    wait_for(lambda: kept() or process.poll() is not None, 300, pause_seconds=0.01)
    check_end(process, tmp_path, r": stopped at step \d+, kept" if runner == "threads" else "")
    assert kept() and not [one.key for one in store.list("checkpoints") if ".lease-" in one.key]


def test_ctrl_c_keeps_a_training_through_prefect_and_tells_nothing_alarming(
    trained: Any, prefect_server: str, tmp_path: Path
) -> None:
    recipe = {**TRAIN.model_dump(), "max_steps": 100_000, "patience": 100_000, "validate_every": 2}
    config = training(trained.gallery, str(tmp_path / "store"), recipe=recipe, checkpoint_every=100_000)
    process = start_command(config, tmp_path)
    told = tmp_path / "stderr"
    try:
        wait_for(lambda: "step 4: validation loss" in told.read_text() or process.poll() is not None, 300)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(300) == 130
    finally:
        process.kill()
    lines = told.read_text().splitlines()
    kept = r"artbank: interrupted: stopped at step \d+, kept; run the same command again to go on"
    assert re.fullmatch(kept, lines[-1])
    assert not [line for line in lines if re.search("ERROR|CRITICAL|Traceback|Crash|Failed", line)]
    assert list((tmp_path / "store/checkpoints").rglob("*.safetensors"))
