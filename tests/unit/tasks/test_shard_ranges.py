"""Ranges of the shards of a run as flow runs of a deployment, and how these end."""

from __future__ import annotations

from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from artbank_prefect.tasks.shard_ranges import FlowRunFuture, open_deployment
from tests.support.flow_runs import id_of, log_of, read_run


@flow
def draw_range(first: int) -> None:
    """Stand for `stylize-shards`; no worker is there to run it."""


@pytest.fixture
def deployment(prefect_server: str) -> str:
    """A deployment of `draw_range`."""
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(draw_range), name="nowhere")
    return "draw-range/nowhere"


def delete(run_id: UUID) -> None:
    with get_client(sync_client=True) as client:
        client.delete_flow_run(run_id)


def test_a_flow_run_that_cannot_be_cancelled_hides_neither_the_cause_nor_the_others(deployment: str) -> None:
    started: list[FlowRunFuture] = []

    @flow
    def stylize() -> None:
        with open_deployment(deployment, ["style:novak"]) as start:
            started.extend(start({"first": number}) for number in range(3))
            delete(started[1].run.id)
            raise KeyError("the cause")

    state = stylize(return_state=True)
    with pytest.raises(KeyError, match="the cause"):
        state.result()
    assert [read_run(started[number].run.id).state_name for number in (0, 2)] == ["Cancelled", "Cancelled"]
    gone = started[1].run
    lines = log_of(id_of(state), "could not cancel")
    reason = f"FailedRun: flow run {gone.name} ({gone.id}) was deleted on the server"
    assert any(f"could not cancel {gone.name}: {reason}" in line for line in lines)


def test_flow_runs_that_nobody_waits_for_any_more_are_cancelled(deployment: str) -> None:
    @flow
    def stylize() -> UUID:
        with open_deployment(deployment, []) as start:
            return start({"first": 0}).run.id

    assert read_run(stylize()).state_name == "Cancelled"
