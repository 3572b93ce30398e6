"""Shows the progress of a flow run: one Prefect artifact and log lines; a terminal shows the stages of the core.

Tasks report their progress from any process: in the flow's own process directly, on a Dask cluster by
worker events. Flow runs on a work pool report nothing; the flow polls the store for their parts. A
separate thread updates the artifact every `UPDATE_SECONDS`, so a server that hangs delays no work.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from artbank.errors import StopRequested
from artbank.runs.progress import LOG_SECONDS, RunProgress
from artbank_prefect.tasks.cancellation import should_stop
from artbank_prefect.tasks.display import may_fail
from artbank_prefect.tasks.run_progress import current_run_id, find_progress, registered

logger = logging.getLogger(__name__)

UPDATE_SECONDS = 10.0
_EVENT_SECONDS = 1.0  # between events of a Dask worker about one task
_TOPIC = "artbank-progress-"

Report = Callable[[str, int, int, float | None], None]
"""Reports a part, its units done, its units in all, and the loss if there is one."""


@contextmanager
def open_progress(
    progress: RunProgress, key: str | None = None, poll: Callable[[RunProgress], None] | None = None
) -> Iterator[RunProgress]:
    """Show the progress of this flow run until the block ends.

    Args:
        progress: Progress of the run; its tasks find it by the run's id.
        key: Key of the artifact; None creates none.
        poll: Called from time to time to read progress that no task reports, from the store.
    """
    ended = threading.Event()
    artifact = None
    if key:
        with may_fail("the progress"):
            artifact = create_progress_artifact(0.0, key=key, description=progress.describe())
    arguments = (progress, artifact, poll, get_run_logger(), ended)
    thread = threading.Thread(target=copy_context().run, args=(_show, *arguments), daemon=True)
    with registered(progress):
        thread.start()
        try:
            yield progress
        finally:
            ended.set()
            thread.join()


@contextmanager
def report_progress(part: str) -> Iterator[Callable[..., None]]:
    """Give a function by which a task reports its progress.

    It takes the units done, the units in all, and the loss if there is one. It raises StopRequested
    when the task should stop.

    Args:
        part: The part of the run that the task works on; see `RunProgress`.
    """
    report = _find_receiver(current_run_id())

    def show(done: int, total: int, loss: float | None = None) -> None:
        if should_stop():
            raise StopRequested
        report(part, done, total, loss)

    yield show


def subscribe(client: Any) -> None:
    """Receive the progress that workers of a Dask cluster report for this flow run."""
    run_id = current_run_id()

    def receive(event: tuple[float, Any]) -> None:
        if (progress := find_progress(run_id)) is not None:
            progress.update(*event[1])

    client.subscribe_topic(_TOPIC + run_id, receive)


def _find_receiver(run_id: str) -> Report:
    """Return the run's own progress if it is in this process, else this Dask worker's event log."""
    if (progress := find_progress(run_id)) is not None:
        return progress.update
    if "distributed" in sys.modules:
        from distributed import get_worker

        try:
            return _make_sender(get_worker(), _TOPIC + run_id)
        except ValueError:  # not in a worker
            pass
    return lambda *_: None


def _make_sender(worker: Any, topic: str) -> Report:
    last_sent = 0.0

    def send(part: str, done: int, total: int, loss: float | None) -> None:
        nonlocal last_sent
        now = time.monotonic()
        if done >= total or now - last_sent >= _EVENT_SECONDS:
            last_sent = now
            worker.log_event(topic, [part, done, total, loss])

    return send


def _show(
    progress: RunProgress,
    artifact: Any,
    poll: Callable[[RunProgress], None] | None,
    log: Any,
    ended: threading.Event,
) -> None:
    """Update the artifact and the log until the run ends, and once more then."""
    last_poll = last_log = time.monotonic()
    poll_seconds = UPDATE_SECONDS
    progress.sample_rate()
    while not ended.wait(UPDATE_SECONDS):
        now = time.monotonic()
        if poll is not None and now - last_poll >= poll_seconds:
            _try(lambda: poll(progress))
            last_poll = time.monotonic()
            poll_seconds = max(UPDATE_SECONDS, 20 * (last_poll - now))  # poll a slow store less often
        progress.sample_rate()
        _try(lambda: _update_artifact(artifact, progress))
        if now - last_log >= LOG_SECONDS:
            log.info(progress.describe())
            last_log = now
    progress.sample_rate()
    _try(lambda: _update_artifact(artifact, progress))
    log.info(progress.describe())


def _update_artifact(artifact: Any, progress: RunProgress) -> None:
    if artifact is not None:
        update = ArtifactUpdate(data=progress.percent, description=progress.describe())
        with get_client(sync_client=True) as client:
            client.update_artifact(artifact, update)


def _try(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:  # a failure to show progress must not end the run
        logger.debug("could not show the progress: %s", error)
