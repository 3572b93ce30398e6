"""Prefect tasks: each a few lines around a call into `artbank`, with what is retried and what a run shows of it.

What the core logs goes into a run's log by PREFECT_LOGGING_EXTRA_LOGGERS=artbank. Prefect gives such a logger a handler
but no level, so that without one of its own the core would stay silent below WARNING. Prefect logs the parameters that
it refuses as they are; credentials in them are hidden first.
"""

from __future__ import annotations

import logging

from prefect.settings import PREFECT_LOGGING_LEVEL

from artbank.credentials import redact

logging.getLogger("artbank").setLevel(PREFECT_LOGGING_LEVEL.value())


class _HideCredentials(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True


logging.getLogger("prefect.flows").addFilter(_HideCredentials())
