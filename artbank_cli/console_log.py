"""The log at the console.

Off a terminal every line has its time, level and source. Prefect's log is printed without tracebacks, and without the
errors that the command's own line repeats.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterator

from artbank_cli.environment import TIME_FORM, is_debug

LINE_FORM = "%(asctime)s.%(msecs)03d | %(levelname)-7s | %(name)s - %(message)s"
"""Form of a line in a log, as Prefect's are."""
_ENGINES = ("flow_engine", "task_engine")  # modules of Prefect; their errors are raised too
_BAD_END = re.compile(r"Finished in state (Failed|Crashed|Cancelled)")


def format_log_line(text: str) -> str:
    """Return a text of the command as a line of the log, with its time."""
    record = logging.LogRecord("artbank", logging.INFO, __file__, 0, text, None, None)
    return logging.Formatter(LINE_FORM, TIME_FORM).format(record)


def shorten_console_log() -> None:
    """Print log records of errors as one line each; the Prefect server still gets the tracebacks. Not with `--debug`.

    The errors of flow runs and task runs are left out: the command ends with the same error as its line.
    """
    if is_debug():
        return
    for handler in _console_handlers():
        handler.setFormatter(_OneLine(handler.formatter))
        handler.addFilter(_is_no_repetition)


def _is_no_repetition(record: logging.LogRecord) -> bool:
    if record.module not in _ENGINES:
        return True
    return record.levelno < logging.ERROR and not _BAD_END.match(record.getMessage())


class _OneLine(logging.Formatter):
    def __init__(self, formatter: logging.Formatter | None):
        super().__init__()
        self._formatter = formatter.inner if isinstance(formatter, _OneLine) else formatter or logging.Formatter()

    @property
    def inner(self) -> logging.Formatter:
        return self._formatter

    def format(self, record: logging.LogRecord) -> str:
        short = copy.copy(record)
        short.exc_info = short.exc_text = short.stack_info = None
        return self._formatter.format(short)


def _console_handlers() -> Iterator[logging.Handler]:
    """Yield the handlers that print, each once, of all loggers."""
    loggers = [logging.getLogger(name) for name in ("", *logging.root.manager.loggerDict)]
    handlers = {id(handler): handler for logger in loggers for handler in logger.handlers}
    for handler in handlers.values():
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            yield handler
