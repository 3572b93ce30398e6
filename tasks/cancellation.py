"""A run that is asked to end: what it is at is given back, so that the process can go.

The flow's process ends by an exception, which SIGTERM and Ctrl-C are too; its tasks are asked to stop then. A worker of
a Dask cluster asks for itself whether it is being closed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prefect import runtime

_STOPPED: set[str] = set()


@contextmanager
def stop_on_error() -> Iterator[None]:
    """Ask the tasks of this flow run to stop where the block is left by an exception."""
    run_id = runtime.flow_run.get_id()
    try:
        yield
    except BaseException:
        _STOPPED.add(str(run_id))
        raise


def should_stop() -> bool:
    """Tell whether the task that asks ought to stop."""
    return str(runtime.flow_run.get_id()) in _STOPPED or _is_closing()


def _is_closing() -> bool:
    if "distributed" not in sys.modules:
        return False
    from distributed import Status, get_worker

    try:
        return get_worker().status not in (Status.running, Status.paused)
    except ValueError:  # not in a worker
        return False
