"""Retries of tasks, only for transient errors of the store."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from artbank.store.transient_errors import is_transient


async def is_retriable(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Return whether a failed task run may succeed on a retry."""
    try:
        await state.aresult()
    except BaseException as error:
        return is_transient(error)
    return False


STORE_RETRIES: dict[str, Any] = {
    "retries": 4,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_retriable,
}
"""Options of a task that uses a store: retries after 2, 4, 8 and 16 s, each with up to 50 % jitter."""
