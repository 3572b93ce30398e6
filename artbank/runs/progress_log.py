"""Logs the progress of a run that has no Prefect server to show it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from artbank.runs.progress import LOG_SECONDS, RunProgress

logger = logging.getLogger(__name__)

_SAMPLE_SECONDS = 10.0


@contextmanager
def log_progress(progress: RunProgress) -> Iterator[None]:
    """Log what is done of a run each minute, and at the end of the block."""
    ended = threading.Event()
    thread = threading.Thread(target=_log, args=(progress, ended), name="artbank-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _log(progress: RunProgress, ended: threading.Event) -> None:
    last_log = time.monotonic()
    progress.sample_rate()
    while not ended.wait(_SAMPLE_SECONDS):
        progress.sample_rate()
        if time.monotonic() - last_log >= LOG_SECONDS:
            logger.info(progress.describe())
            last_log = time.monotonic()
    progress.sample_rate()
    logger.info(progress.describe())
