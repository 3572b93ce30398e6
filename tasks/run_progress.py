"""The progress of the flow runs of this process, which their tasks find by `find_progress`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import runtime

from artbank.runs.progress import RunProgress

_BY_RUN: dict[str, RunProgress] = {}


def find_progress(run_id: str | None = None) -> RunProgress | None:
    """Return the progress of a flow run of this process; by default of the current one."""
    return _BY_RUN.get(run_id or current_run_id())


def current_run_id() -> str:
    """Return the id of the flow run that this code belongs to."""
    return str(runtime.flow_run.get_id())


@contextmanager
def registered(progress: RunProgress) -> Iterator[None]:
    """Let the tasks of this flow run find its progress, inside the block."""
    run_id = current_run_id()
    _BY_RUN[run_id] = progress
    try:
        yield
    finally:
        del _BY_RUN[run_id]
