"""Cancellation: tasks release their work for another worker before the process ends.

The flow's process ends by an exception; SIGTERM and Ctrl-C raise one too. Its tasks are then asked to
stop. A task on a Dask cluster checks whether its worker is closing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from artbank_prefect.tasks.run_progress import find_progress


@contextmanager
def stop_on_error() -> Iterator[None]:
    """Ask the tasks of this flow run to stop when an exception leaves the block."""
    try:
        yield
    except BaseException:
        if (progress := find_progress()) is not None:
            progress.is_stopping = True
        raise


def should_stop() -> bool:
    """Return whether the current task should stop."""
    progress = find_progress()
    return (progress is not None and progress.is_stopping) or _is_worker_closing()


def _is_worker_closing() -> bool:
    if "distributed" not in sys.modules:
        return False
    from distributed import Status, get_worker

    try:
        return get_worker().status not in (Status.running, Status.paused)
    except ValueError:  # not in a worker
        return False
