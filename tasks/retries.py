"""What is tried again: the store's passing troubles, and nothing else."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from artbank.store.transient_errors import is_transient


async def heals(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Tell whether a failed task run may succeed when it is tried again."""
    try:
        await state.aresult()
    except BaseException as error:
        return is_transient(error)
    return False


STORE_RETRIES: dict[str, Any] = {
    "retries": 4,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": heals,
}
"""Options of a task that talks to a store: 2, 4, 8 and 16 s apart, each up to half as long again."""
