"""Prefect tasks: thin wrappers around `artbank` that add retries, progress and artifacts.

PREFECT_LOGGING_EXTRA_LOGGERS=artbank sends the core's log lines to the run's log. Prefect sets no
level on such a logger, so this module does. Prefect also logs parameters that it rejects; a filter
redacts credentials in them.
"""

from __future__ import annotations

import logging

from prefect.settings import PREFECT_LOGGING_LEVEL

from artbank.credentials import redact

logging.getLogger("artbank").setLevel(PREFECT_LOGGING_LEVEL.value())


class _RedactCredentials(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = ()
        return True


logging.getLogger("prefect.flows").addFilter(_RedactCredentials())
