"""Flow runs, and what the server knows of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, LogFilter, TaskRunFilter
from prefect.client.schemas.objects import Artifact, FlowRun, TaskRun

_PATIENCE_SECONDS = 20


def run(flow: Callable[..., Any], config: Any) -> State[Any]:
    """Run a flow to its end; whatever that is, it comes as a state."""
    return flow(config, return_state=True)


def id_of(state: State[Any]) -> UUID:
    """Return the id of the flow run that ended so."""
    assert state.state_details.flow_run_id
    return state.state_details.flow_run_id


def read_run(run_id: UUID) -> FlowRun:
    """Return a flow run as the server has it."""
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def task_runs(run_id: UUID, *, at_least: int = 1) -> list[TaskRun]:
    """Return a flow run's task runs by name; the server learns of them a moment late."""
    wanted = TaskRunFilter.model_validate({"flow_run_id": {"any_": [run_id]}})
    with get_client(sync_client=True) as client:
        found = _wait(lambda: client.read_task_runs(task_run_filter=wanted), lambda found: len(found) >= at_least)
    return sorted(found, key=lambda one: one.name)


def artifacts(run_id: UUID) -> list[Artifact]:
    """Return what a flow run left to be looked at, by key; those without one are Prefect's own."""
    wanted = ArtifactFilter.model_validate({"flow_run_id": {"any_": [run_id]}})
    with get_client(sync_client=True) as client:
        found = [one for one in client.read_artifacts(artifact_filter=wanted) if one.key is not None]
    return sorted(found, key=lambda one: str(one.key))


def log_of(run_id: UUID, awaited: str) -> list[str]:
    """Return the log of a flow run and its tasks once a text is in it; lines are sent in batches."""
    wanted = LogFilter.model_validate({"flow_run_id": {"any_": [run_id]}})
    with get_client(sync_client=True) as client:
        found = _wait(
            lambda: client.read_logs(wanted, limit=200), lambda found: any(awaited in line.message for line in found)
        )
    return [f"{line.name}: {line.message}" for line in found]


def _wait(read: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    start = time.monotonic()
    while not enough(found := read()) and time.monotonic() - start < _PATIENCE_SECONDS:
        time.sleep(0.2)
    return found
