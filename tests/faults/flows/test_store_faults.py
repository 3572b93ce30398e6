"""Runs survive faults of the store: the output equals that of an undisturbed run, to the byte."""

from __future__ import annotations

import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from artbank.results import ledger
from artbank.store.backends import s3
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from tests.support import rgw
from tests.support.flaky import FAULTS, run_flaky
from tests.support.flow_runs import run
from tests.support.interrupted_runs import NUM_PHOTOS, asked, check_whole, copy_photos, start_command
from tests.support.waiting import wait_for


def private_servers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the private Prefect servers of a command."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if any(word.endswith("server_process.py") for word in one.cmdline())]


def test_a_run_whose_process_is_killed_is_completed_by_the_next_and_its_private_server_ends(
    trained: Any, photos: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / "output"
    config = asked(photos, str(output), trained.store)
    process = start_command(config, tmp_path)
    wait_for(lambda: ledger.part_names(Store.open(str(output))) or process.poll() is not None, 300, pause_seconds=0.01)
    [server] = private_servers(process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert psutil.wait_procs([server], timeout=60)[1] == []
    assert len(ledger.part_names(Store.open(str(output)))) < NUM_PHOTOS / 2
    assert run(stylize_archive, config).is_completed()
    check_whole(str(output), undisturbed)


def test_two_equal_runs_at_once_end_as_one(
    trained: Any, photos: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    config, start = asked(photos, str(tmp_path), trained.store), threading.Barrier(2)

    def take_part(_: int) -> Any:
        start.wait()
        return run(stylize_archive, config)

    with ThreadPoolExecutor(2) as pool:
        assert all(state.is_completed() for state in pool.map(take_part, range(2)))
    check_whole(str(tmp_path), undisturbed)
    assert pq.read_table(tmp_path / "results.parquet").num_rows == NUM_PHOTOS


def test_a_store_that_fails_every_tenth_request_delays_a_run_and_no_more(
    trained: Any,
    photos: str,
    undisturbed: dict[str, bytes],
    s3_store: str,
    s3_endpoint: rgw.Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = copy_photos(photos, s3_store)
    with run_flaky(s3_endpoint, share=0.1) as flaky:
        monkeypatch.setenv("AWS_ENDPOINT_URL", flaky.endpoint.url)
        state = run(stylize_archive, asked(bucket.uri_of("photos"), bucket.uri_of("output"), trained.store))
        assert state.is_completed(), state
    assert sum(flaky.faults[fault] for fault in FAULTS) >= 3
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint.url)
    check_whole(bucket.uri_of("output"), undisturbed)


def test_a_store_that_now_and_then_never_answers_delays_a_run_and_no_more(
    trained: Any,
    photos: str,
    undisturbed: dict[str, bytes],
    s3_store: str,
    s3_endpoint: rgw.Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = copy_photos(photos, s3_store)
    monkeypatch.setitem(s3._CLIENT_CONFIG, "read_timeout", 2)  # half a minute would be much for a test
    with run_flaky(s3_endpoint, share=0.15) as flaky:
        flaky.stall_seconds = 6.0
        monkeypatch.setenv("AWS_ENDPOINT_URL", flaky.endpoint.url)
        state = run(stylize_archive, asked(bucket.uri_of("photos"), bucket.uri_of("output"), trained.store))
        assert state.is_completed(), state
    assert sum(flaky.faults[fault] for fault in FAULTS) >= 3
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint.url)
    check_whole(bucket.uri_of("output"), undisturbed)
