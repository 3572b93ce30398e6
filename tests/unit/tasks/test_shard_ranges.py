"""Ranges of the shards of a run as flow runs of a deployment, and how these end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import SyncClientContext
from prefect.exceptions import FailedRun
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed

from artbank_prefect.tasks import shard_ranges
from artbank_prefect.tasks.shard_ranges import FlowRunFuture, is_abandoned, open_deployment
from tests.support import rgw
from tests.support.flaky import FlakyStore, run_flaky
from tests.support.flow_runs import id_of, log_of, read_run
from tests.support.waiting import wait_for


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


@pytest.fixture
def unreliable(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyStore]:
    """The server behind a proxy; what waits for a flow run asks it often, and Prefect repeats no request."""
    monkeypatch.setattr(shard_ranges, "POLL_SECONDS", 0.05)
    with run_flaky(rgw.Endpoint(f"http://{urlsplit(prefect_server).netloc}", "", "")) as proxy:
        yield proxy


def start_and_wait(deployment: str, proxy: FlakyStore, fault: str, started: list[FlowRunFuture]) -> None:
    """Start a flow run and wait for it while the server is out of reach, or answers with an error."""
    with open_deployment(deployment, []) as start:
        started.append(start({"first": 0}))
        shared_client = SyncClientContext.__var__.set(None)  # pyright: ignore[reportArgumentType]
        settings = {PREFECT_API_URL: f"{proxy.endpoint.url}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
        try:
            with temporary_settings(settings):
                proxy.is_down = fault == "down"
                proxy.lost_key = "flow_runs" if fault == "500" else ""
                started[0].result()
        finally:
            SyncClientContext.__var__.reset(shared_client)


@pytest.mark.parametrize("fault", ["down", "500"])
def test_a_server_that_is_out_of_reach_for_a_while_fails_no_range_that_is_under_way(
    deployment: str, unreliable: FlakyStore, fault: str
) -> None:
    started: list[FlowRunFuture] = []
    ended = threading.Event()

    def recover() -> None:
        wait_for(lambda: unreliable.faults["reset"] + unreliable.faults["500"] >= 3 or ended.is_set())
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(started[0].run.id, Completed(), force=True)
        unreliable.is_down, unreliable.lost_key = False, ""

    @flow
    def stylize() -> None:
        thread = threading.Thread(target=copy_context().run, args=(recover,))
        thread.start()
        try:
            start_and_wait(deployment, unreliable, fault, started)
        finally:
            ended.set()
            thread.join()

    state = stylize(return_state=True)
    assert state.is_completed(), state
    assert read_run(started[0].run.id).state_name == "Completed"
    [line] = [line for line in log_of(id_of(state), "still waiting") if "does not answer" in line]
    assert f"flow run {started[0].run.name} ({started[0].run.id}): the Prefect server does not answer" in line


def test_a_server_that_stays_out_of_reach_ends_the_wait_for_a_range(
    deployment: str, unreliable: FlakyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_ranges, "OUTAGE_SECONDS", 0.3)

    @flow
    def stylize() -> None:
        start_and_wait(deployment, unreliable, "down", [])

    with pytest.raises(FailedRun, match=r"out of reach for more than 0\.3 s \(ReadError"):
        stylize(return_state=True).result()
    assert unreliable.faults["reset"] > 1


@pytest.mark.parametrize("fault", ["down", "500"])
def test_a_server_that_is_out_of_reach_does_not_hold_up_the_end_of_a_run(
    deployment: str, unreliable: FlakyStore, fault: str
) -> None:
    """Neither with the repeats of the client, nor with a request for each of some hundred flow runs."""

    @flow
    def stylize() -> None:
        shared_client = SyncClientContext.__var__.set(None)  # pyright: ignore[reportArgumentType]
        try:
            with temporary_settings({PREFECT_API_URL: f"{unreliable.endpoint.url}/api"}):
                with open_deployment(deployment, []) as start:
                    for first in range(8):
                        start({"first": first})
                    unreliable.is_down = fault == "down"
                    unreliable.lost_key = "flow_runs" if fault == "500" else ""
                unreliable.is_down, unreliable.lost_key = False, ""
        finally:
            SyncClientContext.__var__.reset(shared_client)

    state = stylize(return_state=True)
    assert state.is_completed(), state
    assert unreliable.faults["reset"] + unreliable.faults["500"] == 3
    assert any("5 flow runs were not cancelled" in line for line in log_of(id_of(state), "does not answer"))


@pytest.mark.parametrize("fault", ["down", "500"])
def test_a_range_is_wanted_while_the_server_cannot_be_asked(unreliable: FlakyStore, fault: str) -> None:
    answers: list[bool] = []

    @flow
    def draw() -> None:
        shared_client = SyncClientContext.__var__.set(None)  # pyright: ignore[reportArgumentType]
        settings = {PREFECT_API_URL: f"{unreliable.endpoint.url}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
        try:
            with temporary_settings(settings):
                unreliable.is_down = fault == "down"
                unreliable.lost_key = "flow_runs" if fault == "500" else ""
                answers.append(is_abandoned())
        finally:
            unreliable.is_down, unreliable.lost_key = False, ""
            SyncClientContext.__var__.reset(shared_client)

    @flow
    def stylize() -> None:
        draw()

    state = stylize(return_state=True)
    assert state.is_completed(), state
    assert answers == [False]
    assert unreliable.faults["reset"] + unreliable.faults["500"] > 0
