"""Repeat work that failed by a transient error of a store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from artbank.store.explanations import explain
from artbank.store.transient_errors import is_transient

logger = logging.getLogger(__name__)

T = TypeVar("T")
_DELAYS_SECONDS = (2.0, 4.0, 8.0, 16.0)


def retry_transient(
    work: Callable[[], T],
    delays_seconds: Sequence[float] = _DELAYS_SECONDS,
    wait: Callable[[float], None] = time.sleep,
) -> T:
    """Do some work, and do it again if it fails by a transient error of a store.

    Args:
        work: What to do; doing it twice must do no harm.
        delays_seconds: The wait before each retry; as many retries as there are delays.
        wait: Waits for a number of seconds.

    Returns:
        The result of the work.

    Raises:
        Exception: The error of the last try, or the first one that is not transient.
    """
    for seconds in delays_seconds:
        try:
            return work()
        except Exception as error:
            if not is_transient(error):
                raise
            logger.warning("%s; trying again in %g s", explain(error), seconds)
        wait(seconds)
    return work()
