"""Ranges of a run's shards as flow runs of a deployment: on Kubernetes pods, or whatever else its work pool starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from prefect import get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.exceptions import CancelledRun, CrashedRun, FailedRun, ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelling

from artbank.errors import ConfigError
from artbank.runs.gather import format_error

POLL_SECONDS = 10.0
"""Between two looks at the flow run that is waited for; a range takes minutes."""

OUTAGE_SECONDS = 3600.0
"""The wait for a flow run ends when the server has not answered for this long: its state is unknown by then."""

_CANCEL_SECONDS = 10.0
_MOST_FAULTS = 3
_PASSING_CODES = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)


class FlowRunFuture:
    """A flow run elsewhere, to be waited for as a task is."""

    def __init__(self, run: FlowRun):
        """Take a flow run that was created."""
        self.run = run

    def result(self) -> None:
        """Wait until the flow run has ended.

        Raises:
            FailedRun, CrashedRun, CancelledRun: It did not complete; says how it ended. Or it was deleted, or the
                server was out of reach for longer than `OUTAGE_SECONDS`. A shorter outage is only logged: the flow run
                works on meanwhile, and another one would do the same work.
        """
        state = self._wait()
        if state.is_completed():
            return
        text = f"flow run {self.run.name} ({self.run.id}) ended {state.name}: {state.message}"
        if state.is_crashed():
            raise CrashedRun(text)
        if state.is_cancelled():
            raise CancelledRun(text)
        raise FailedRun(text)

    def cancel(self) -> None:
        """Cancel the flow run, unless it has ended."""
        last_known = self.run.state
        if (last_known is not None and last_known.is_final()) or self._read_state().is_final():
            return
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.run.id, Cancelling(message="the run that waited for it has ended"))

    def _wait(self) -> State[Any]:
        silent_since: float | None = None
        while True:
            try:
                state = self._read_state()
                silent_since = None
                if state.is_final():
                    return state
            except (httpx.TransportError, PrefectHTTPStatusError) as error:
                if not _is_passing(error):
                    raise
                if silent_since is None:
                    silent_since = time.monotonic()
                    get_run_logger().warning(
                        "flow run %s (%s): the Prefect server does not answer; still waiting for the flow run: %s",
                        *(self.run.name, self.run.id, format_error(error)),
                    )
                elif time.monotonic() - silent_since > OUTAGE_SECONDS:
                    raise FailedRun(
                        f"flow run {self.run.name} ({self.run.id}): the Prefect server was out of reach for more than "
                        f"{OUTAGE_SECONDS:g} s ({format_error(error)}); run it again when the server is back"
                    ) from error
            time.sleep(POLL_SECONDS)

    def _read_state(self) -> State[Any]:
        try:
            with get_client(sync_client=True) as client:
                self.run = client.read_flow_run(self.run.id)
        except ObjectNotFound as error:
            raise FailedRun(f"flow run {self.run.name} ({self.run.id}) was deleted on the server") from error
        assert self.run.state
        return self.run.state


def _is_passing(error: httpx.TransportError | PrefectHTTPStatusError) -> bool:
    """Return whether the same request may succeed later: the server was not reached, or has a fault of its own."""
    if not isinstance(error, PrefectHTTPStatusError):
        return True
    return error.response.is_server_error or error.response.status_code in _PASSING_CODES


@contextmanager
def open_deployment(name: str, tags: Sequence[str]) -> Iterator[Callable[[dict[str, Any]], FlowRunFuture]]:
    """Open a deployment inside a flow run; gives the function that starts a flow run of it with parameters.

    Flow runs that have not ended when the block ends are cancelled, since nothing waits for them any more.

    Args:
        name: FLOW/DEPLOYMENT.
        tags: Tags of the flow runs.

    Raises:
        ConfigError: The server has no such deployment.
    """
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(name)
        except ObjectNotFound as error:
            raise ConfigError(
                f"runner deployment:{name}: expected a deployment of that name on the server at {client.api_url}, "
                "found none; `artbank deploy` puts stylize-shards/gpu there"
            ) from error
    started: list[FlowRunFuture] = []

    def start(parameters: dict[str, Any]) -> FlowRunFuture:
        run = run_deployment(name, parameters=parameters, timeout=0, tags=tags)
        assert isinstance(run, FlowRun)
        started.append(FlowRunFuture(run))
        return started[-1]

    try:
        yield start
    finally:
        _cancel_all(started)


def _cancel_all(futures: Sequence[FlowRunFuture]) -> None:
    """Cancel flow runs. A failure is only logged: the others are cancelled too, and an error of the block is kept.

    There is one short request for each. When the server has failed `_MOST_FAULTS` times in a row, there are no more:
    this process is about to end, and some hundred requests to a server that is down would take hours with retries.
    """
    faults = 0
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: _CANCEL_SECONDS}):
        for number, future in enumerate(futures):
            try:
                future.cancel()
                faults = 0
            except Exception as error:
                get_run_logger().warning("could not cancel %s: %s", future.run.name, format_error(error))
                faults += isinstance(error, (httpx.TransportError, PrefectHTTPStatusError)) and _is_passing(error)
            if faults == _MOST_FAULTS:
                get_run_logger().warning(
                    "the Prefect server does not answer: %d flow runs were not cancelled; those that have not begun "
                    "will find that this run has ended, and end too",
                    len(futures) - number - 1,
                )
                return


def is_abandoned() -> bool:
    """Return whether the flow run that started this one has ended, so that nothing waits for the work of this one.

    Returns False while the server is out of reach.
    """
    try:
        parent = runtime.flow_run.parent_flow_run_id  # asks the server, too
        if parent is None:
            return False
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(parent).state
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        if not _is_passing(error):
            raise
        get_run_logger().warning(
            "the Prefect server does not answer whether the stylize-archive run has ended: %s", format_error(error)
        )
        return False
    return state is not None and state.is_final()
