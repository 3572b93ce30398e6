"""Longer troubles: a store that is down, a disk that is full, a clock that is wrong, a process that is asked to end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from artbank.mini import WEIGHTS
from artbank.parameters.control_specs import EMBEDDED_CONTROL
from artbank.results import attempts, ledger
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from tests.support import rgw
from tests.support.flaky import run_flaky
from tests.support.flow_runs import run
from tests.support.interrupted_runs import NUM_PHOTOS, asked, check_whole, copy_photos, start_command
from tests.support.small_inputs import TRAIN, training
from tests.support.waiting import wait_for

_INTERRUPTED, _TERMINATED = 130, 143


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a disk of that size; skips the test where that is not allowed."""
    folder.mkdir()
    size = f"size={kilobytes}k"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)


def test_a_store_that_is_down_for_half_a_minute_delays_a_run_and_no_more(
    trained: Any,
    photos: str,
    undisturbed: dict[str, bytes],
    s3_store: str,
    s3_endpoint: rgw.Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = copy_photos(photos, s3_store)
    with run_flaky(s3_endpoint) as flaky:
        monkeypatch.setenv("AWS_ENDPOINT_URL", flaky.endpoint.url)

        def go_down() -> None:
            wait_for(lambda: flaky.faults[""] > 12, pause_seconds=0.01)  # the run is on
            flaky.is_down = True
            time.sleep(30)
            flaky.is_down = False

        outage = threading.Thread(target=go_down)
        outage.start()
        state = run(stylize_archive, asked(bucket.uri_of("photos"), bucket.uri_of("output"), trained.store))
        outage.join()
        assert state.is_completed(), state
        assert flaky.faults["reset"] > 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint.url)
    check_whole(bucket.uri_of("output"), undisturbed)


def test_a_full_disk_is_named_and_the_run_completed_once_there_is_room(
    trained: Any, photos: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", kilobytes=32) as disk:
        config = asked(photos, str(disk / "output"), trained.store)
        state = run(stylize_archive, config)
        assert state.is_failed()
        with pytest.raises(Exception, match="No space left on device"):
            state.result()
        enlarge(disk)
        assert run(stylize_archive, config).is_completed()
        check_whole(config.output_uri, undisturbed)


def test_a_full_cache_of_base_models_is_named_and_leaves_nothing_half_fetched(
    trained: Any, photos: str, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "cache", kilobytes=512) as cache:
        monkeypatch.setenv("ARTBANK_CACHE", str(cache))
        models = {"base_model": f"file://{WEIGHTS}", "scorer": "mini", "controls": (EMBEDDED_CONTROL,)}
        config = asked(photos, str(tmp_path / "output"), trained.store, **models)
        with pytest.raises(Exception, match="No space left on device"):
            run(stylize_archive, config).result()
        assert not [name for _, _, names in os.walk(cache) for name in names if not name.endswith(".lock")]
        enlarge(cache)
        state = run(stylize_archive, config)
        assert state.is_completed(), state
        check_whole(config.output_uri, undisturbed)


def test_a_clock_that_is_days_behind_undoes_nothing(
    trained: Any, photos: str, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Behind(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) - timedelta(days=3)

    first = asked(photos, str(tmp_path), trained.store, recipe={"steps": 2, "strength": 0.5, "resolution_px": 32})
    assert run(stylize_archive, first).is_completed()
    monkeypatch.setattr(attempts, "datetime", Behind)
    config = asked(photos, str(tmp_path), trained.store)
    assert run(stylize_archive, config).result().num_new == NUM_PHOTOS
    check_whole(str(tmp_path), undisturbed)
    assert run(stylize_archive, config).result().num_new == 0


def checkpoints(store: str) -> list[str]:
    """Return the checkpoints of a store, without the leases beside them."""
    return [one.key for one in Store.open(store).list("checkpoints") if one.key.endswith(".safetensors")]


def check_end(process: subprocess.Popen[bytes], folder: Path, sent: signal.Signals) -> None:
    """Ask a command to end, and check that it does, although it has far more to do, and in order."""
    children = psutil.Process(process.pid).children(recursive=True)
    if sent == signal.SIGTERM:
        process.send_signal(sent)
    else:
        os.killpg(process.pid, sent)  # as a terminal does, which tells all processes of a job
    try:
        assert process.wait(300) == (_INTERRUPTED if sent == signal.SIGINT else _TERMINATED)
    finally:
        process.kill()
    assert psutil.wait_procs(children, timeout=60)[1] == []
    told = (folder / "stderr").read_text()
    assert "run the same command again to go on\n" in told
    assert sent == signal.SIGHUP or "Traceback" not in told  # Python's own tracker of resources dies of that


# CI stops a training by Ctrl-C: tests/faults/flows/test_stops.py, tests/cli/test_runs.py
@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_training_that_is_asked_to_end_does_so_at_its_next_step_and_keeps_its_checkpoint(
    trained: Any, prefect_server: str, tmp_path: Path, sent: signal.Signals
) -> None:
    recipe = {**TRAIN.model_dump(), "max_steps": 100_000, "patience": 100_000}
    config = training(trained.gallery, str(tmp_path / "store"), recipe=recipe, checkpoint_every=2)
    process = start_command(config, tmp_path, prefect_server if sent == signal.SIGTERM else None)
    wait_for(lambda: checkpoints(config.store_uri) or process.poll() is not None, 300, pause_seconds=0.01)
    check_end(process, tmp_path, sent)
    assert checkpoints(config.store_uri)


@pytest.mark.parametrize(
    ("runner", "sent"),
    [
        ("threads", signal.SIGTERM),
        # `test_stops.py` ends a run on Dask by SIGTERM, and a training by Ctrl-C.
        pytest.param("dask", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("threads", signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param("dask", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_asked_to_end_gives_its_shard_back_and_is_completed_by_the_next(
    trained: Any,
    photos: str,
    undisturbed: dict[str, bytes],
    prefect_server: str,
    tmp_path: Path,
    runner: str,
    sent: signal.Signals,
) -> None:
    output = tmp_path / "output"
    config = asked(photos, str(output), trained.store, runner=runner, num_workers=1)
    process = start_command(config, tmp_path, prefect_server if sent == signal.SIGTERM else None)
    wait_for(lambda: ledger.part_names(Store.open(str(output))) or process.poll() is not None, 300, pause_seconds=0.01)
    check_end(process, tmp_path, sent)
    assert len(ledger.part_names(Store.open(str(output)))) < NUM_PHOTOS / 2
    assert all(mark.is_given_back for mark in attempts.find_unfinished(Store.open(str(output))).values())
    assert run(stylize_archive, config.model_copy(update={"runner": "threads"})).is_completed()
    check_whole(str(output), undisturbed)
