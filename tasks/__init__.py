"""Prefect tasks: each a few lines around a call into `artbank`, with what is retried and what a run shows of it.

What the core logs goes into a run's log by PREFECT_LOGGING_EXTRA_LOGGERS=artbank. Prefect gives such a logger a handler
but no level, so that without one of its own the core would stay silent below WARNING.
"""

from __future__ import annotations

import logging

from prefect.settings import PREFECT_LOGGING_LEVEL

logging.getLogger("artbank").setLevel(PREFECT_LOGGING_LEVEL.value())
