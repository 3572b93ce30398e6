"""A flow that waits for a submitted task gets its result, its error, or a signal."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import sys
import threading
import traceback
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest
from distributed.comm import CommClosedError

from artbank_prefect.tasks.dask_worker import log_lost_connections_in_a_line
from artbank_prefect.tasks.runners import SubmittedTask, for_workers, hide_dask_cancel_race
from tests.support.small_inputs import stylizing
from tests.support.waiting import PATIENCE_SECONDS, wait_for


@pytest.mark.parametrize(
    ("runner", "is_elsewhere"),
    [("tcp://host:8786", True), ("deployment:stylize-shards/gpu", True), ("dask", False), ("threads", False)],
)
def test_workers_that_were_not_started_here_get_absolute_paths(runner: str, is_elsewhere: bool) -> None:
    config = stylizing("photos", "art", "store", "monet", runner=runner)
    assert for_workers(config).output_uri == (str(Path("art").absolute()) if is_elsewhere else "art")


class Ended(Exception):
    pass


def test_a_signal_that_another_thread_receives_ends_the_wait_for_a_task() -> None:
    future: Future[str] = Future()
    received = threading.Event()

    def end(*_: object) -> None:
        received.set()
        raise Ended

    def receive() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        if not received.wait(PATIENCE_SECONDS / 4):
            future.set_result("slept through the signal")

    before = signal.signal(signal.SIGUSR1, end)
    thread = threading.Timer(0.5, receive)  # once the main thread waits
    try:
        thread.start()
        with pytest.raises(Ended):
            SubmittedTask(cast("Any", future)).result()
        assert not future.done()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)


def test_the_result_or_the_error_of_a_task_is_the_one_of_its_future() -> None:
    done, failed = Future[int](), Future[int]()
    done.set_result(3)
    failed.set_exception(TimeoutError("of the task"))
    assert SubmittedTask(cast("Any", done)).result() == 3
    with pytest.raises(TimeoutError, match="of the task"):
        SubmittedTask(cast("Any", failed)).result()


def test_ctrl_c_while_dask_takes_a_call_prints_no_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed.utils import LoopRunner, sync

    monkeypatch.setattr(logging.getLogger("tornado.application"), "filters", [])  # another test may have added ours
    runner = LoopRunner(asynchronous=False)
    runner.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for is_quiet in (False, True):
            if is_quiet:
                hide_dask_cancel_race()
            is_free = threading.Event()
            runner.loop.add_callback(is_free.wait, PATIENCE_SECONDS)  # the call below cannot begin until it is set
            sender = threading.Thread(target=_interrupt_in, args=("distributed/utils.py", "wait"))
            sender.start()
            with pytest.raises(KeyboardInterrupt):
                sync(runner.loop, asyncio.sleep, PATIENCE_SECONDS)
            is_free.set()
            sender.join()
            sync(runner.loop, asyncio.sleep, 0)  # the loop has done what was asked of it before
            assert ("Exception in callback" in caplog.text) is not is_quiet
            caplog.clear()
    finally:
        signal.signal(signal.SIGINT, before)
        runner.stop()


@pytest.mark.parametrize("error", [CommClosedError("closed"), ValueError("wrong")])
def test_dask_logs_a_lost_connection_in_a_line_and_other_errors_whole(error: Exception) -> None:
    handler = logging.StreamHandler(io.StringIO())
    logger = logging.getLogger("distributed")
    logger.addHandler(handler)
    try:
        log_lost_connections_in_a_line()
        logging.getLogger("distributed.worker").error("no heartbeat", exc_info=error)
    finally:
        logger.removeHandler(handler)
    text = handler.stream.getvalue()
    assert text.startswith("no heartbeat\n")
    assert ("ValueError: wrong" in text) is isinstance(error, ValueError) and "CommClosedError" not in text


def _interrupt_in(file: str, function: str) -> None:
    """Send Ctrl-C once the main thread waits in a function of a file."""

    def is_there() -> bool:
        stack = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident or 0])
        names = [entry.name for entry in stack if entry.filename.endswith(file)]
        return names[-1:] == [function] and stack[-1].filename == threading.__file__

    wait_for(is_there)
    os.kill(os.getpid(), signal.SIGINT)
