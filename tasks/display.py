"""Errors of calls that only show something in Prefect: they do not fail a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import get_run_logger

from artbank.runs.gather import format_error


@contextmanager
def may_fail(subject: str) -> Iterator[None]:
    """Log an error of the block in place of raising it: no picture or bank of the run depends on the block.

    Args:
        subject: The thing that the block shows, for the log: "the report".
    """
    try:
        yield
    except Exception as error:
        get_run_logger().warning("%s is not shown in Prefect: %s", subject, format_error(error))
