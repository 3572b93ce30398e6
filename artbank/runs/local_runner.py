"""Runs the work of a run in threads of this process, so that Ctrl-C stops it between two steps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from artbank.runtime.stages import show_stage

_WAKE_SECONDS = 1.0  # Python handles signals only while its main thread is awake


class LocalWork:
    """Work that was submitted."""

    def __init__(self, future: Future[Any]):
        """Take the future of the work."""
        self._future = future

    def result(self) -> Any:
        """Wait for the result; raises the work's error."""
        while not wait([self._future], timeout=_WAKE_SECONDS).done:
            pass
        return self._future.result()


class LocalRunner:
    """Does the work in threads, in the order in which it is submitted; open it as a context.

    Attributes:
        is_stopping: Whether the work should stop, because an exception such as Ctrl-C has left the block.
    """

    def __init__(self, num_threads: int = 1) -> None:
        """Start a thread with the first work.

        Args:
            num_threads: Pieces of work that are under way at the same time, at most.
        """
        self.is_stopping = False
        self._threads = ThreadPoolExecutor(max_workers=num_threads, thread_name_prefix="artbank-run")

    def __enter__(self) -> LocalRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the work that is under way; work that has not begun is dropped if an exception left the block."""
        self.is_stopping = kind is not None
        if kind is not None and not issubclass(kind, Exception):  # Ctrl-C or SIGTERM
            show_stage("stopping; what is under way ends first")
        self._threads.shutdown(wait=True, cancel_futures=self.is_stopping)

    def submit(self, work: Callable[[], Any]) -> LocalWork:
        """Submit some work."""
        return LocalWork(self._threads.submit(work))
