"""Prefect tasks: thin wrappers around `artbank` that add retries, progress and artifacts.

PREFECT_LOGGING_EXTRA_LOGGERS=artbank sends the core's log lines to the run's log. Prefect sets no
level on such a logger, so this module does. Prefect also logs parameters that it rejects; a filter
redacts credentials in them. Log messages name files, so invisible characters in them are escaped.
"""

from __future__ import annotations

import logging

from prefect.settings import PREFECT_LOGGING_LEVEL

from artbank.credentials import redact
from artbank.runtime.readable_text import escape_log_messages

escape_log_messages()
logging.getLogger("artbank").setLevel(PREFECT_LOGGING_LEVEL.value())


class _RedactCredentials(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = ()
        return True


logging.getLogger("prefect.flows").addFilter(_RedactCredentials())
