"""A flow that waits for a submitted task gets its result, its error, or a signal."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future
from typing import Any, cast

import pytest

from tasks.runners import SubmittedTask
from tests.support.waiting import PATIENCE_SECONDS


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
