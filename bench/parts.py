"""The parts of a benchmark, one after the other: what fails or takes too long loses its own part only."""

from __future__ import annotations

import faulthandler
import gc
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 60.0  # behind the budget, for one call into a library that does not return


class Parts:
    """Runs parts within a budget, and keeps a note of each that gave nothing.

    A part ends with `TimeoutError` when its time is up, as soon as it is back from a call into a library. If such a
    call never returns, the process ends itself a minute behind the budget; what was saved before is there.
    """

    def __init__(self, budget: float, save: Callable[[], None], notes: list[str]):
        """Begin now.

        Args:
            budget: Seconds for all parts.
            save: Called after each part.
            notes: Receives a note of each part that gave nothing.
        """
        self._notes = notes
        self._end = time.monotonic() + budget
        self._save = save
        faulthandler.dump_traceback_later(budget + _GRACE_SECONDS, exit=True)

    @property
    def left(self) -> float:
        """Seconds of the budget that are left, at least 0."""
        return max(self._end - time.monotonic(), 0.0)

    def run(self, name: str, work: Callable[[], None], seconds: float | None = None) -> None:
        """Run a part, then save.

        Args:
            name: For the note, if it fails.
            work: Measures the part, and keeps its figures.
            seconds: The longest time that it may take; all that is left by default.
        """
        seconds = self.left if seconds is None else min(seconds, self.left)
        try:
            if seconds <= 0:
                raise TimeoutError("no time was left")
            with _limit(seconds):
                work()
        except Exception as error:  # whatever a contender raises, the other parts go on
            logger.exception("%s failed", name)
            self._notes.append(f"not measured: {name} ({_explain(error)})")
        gc.collect()  # an error holds the frames of its part, and with them memory of the device
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._save()

    def close(self) -> None:
        """Take back the end of the process."""
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise a `TimeoutError` in the block after some seconds; only in the main thread."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"it took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _explain(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "the device's memory was too small"
    return f"{type(error).__name__}: {error}".splitlines()[0]
