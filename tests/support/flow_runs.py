"""Flow runs, and what the Prefect server knows about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, LogFilter, TaskRunFilter
from prefect.client.schemas.objects import Artifact, FlowRun, TaskRun

from tests.support.waiting import wait_for


def run(flow: Callable[..., Any], config: Any) -> State[Any]:
    """Run a flow; returns its final state, also of one that failed."""
    return flow(config, return_state=True)


def id_of(state: State[Any]) -> UUID:
    """Return the id of the flow run that ended in a state."""
    assert state.state_details.flow_run_id
    return state.state_details.flow_run_id


def read_run(run_id: UUID) -> FlowRun:
    """Return a flow run as the server has it."""
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def task_runs(run_id: UUID, *, at_least: int) -> list[TaskRun]:
    """Return a flow run's task runs by name, once the server has that many: it learns of them a moment late."""
    wanted = TaskRunFilter.model_validate({"flow_run_id": {"any_": [run_id]}})
    with get_client(sync_client=True) as client:

        def look() -> list[TaskRun]:
            found = client.read_task_runs(task_run_filter=wanted)
            return found if len(found) >= at_least else []

        return sorted(wait_for(look), key=lambda one: one.name)


def artifacts(run_id: UUID) -> list[Artifact]:
    """Return the artifacts of a flow run by key; those without a key are Prefect's own."""
    wanted = ArtifactFilter.model_validate({"flow_run_id": {"any_": [run_id]}})
    with get_client(sync_client=True) as client:
        found = [one for one in client.read_artifacts(artifact_filter=wanted) if one.key is not None]
    return sorted(found, key=lambda one: str(one.key))


def log_of(run_id: UUID, awaited: str) -> list[str]:
    """Return the log of a flow run and its tasks once a text is in it; lines are sent in batches."""
    wanted = LogFilter.model_validate({"flow_run_id": {"any_": [run_id]}})
    with get_client(sync_client=True) as client:

        def look() -> list[str]:
            found = [f"{line.name}: {line.message}" for line in client.read_logs(wanted, limit=200)]
            return found if any(awaited in line for line in found) else []

        return wait_for(look)
