"""How far a run is: told by its tasks, shown as one artifact of the run, in its log, and as a bar at a terminal.

Tasks tell in whatever process they are: in the flow's own at once, on a Dask cluster by an event of their worker's.
Ranges on a work pool tell nothing; the store is looked at for their parts. The artifact is written once every
`TELL_SECONDS` at most, by a thread of its own, whatever comes in; a server that does not answer stops no work.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, cast

from prefect import get_run_logger, runtime
from prefect.artifacts import create_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from tqdm import tqdm

from artbank.errors import StopRequested
from artbank.runs.outcome import Tally
from tasks.cancellation import should_stop

logger = logging.getLogger(__name__)

TELL_SECONDS = 10.0
_LOG_SECONDS = 60.0
_EVENT_SECONDS = 1.0  # between two events of a worker about one task
_WINDOW = 31  # ticks that the rate is taken from
_TOPIC = "artbank-progress-"
_RUNS: dict[str, RunProgress] = {}


class RunProgress:
    """What is done of a run, in its unit, part by part; parts are shards, or groups of trainings.

    May be told by several threads.

    Attributes:
        tallies: What the parts came to that are done, by name, where they are shards.
        num_failed: Things that failed so far: pictures, or collections.
        num_workers: Workers that there are, where that is known.
    """

    def __init__(self, unit: str, total: int = 0, *, is_most: bool = False):
        """Begin at nothing.

        Args:
            unit: What is counted, in the singular.
            total: How many there are, if that is known of the run as a whole.
            is_most: Whether it is the most there may be: trainings end early.
        """
        self.unit, self.is_most = unit, is_most
        self.tallies: dict[str, Tally] = {}
        self.num_failed, self.num_workers = 0, cast("int | None", None)
        self._totals, self._done = ({"": total} if total else {}), dict[str, int]()
        self._loss: float | None = None
        self._lock, self._begun = threading.Lock(), time.monotonic()
        self._ticks: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self._bar = tqdm(unit=unit, total=total, disable=None)

    @property
    def done(self) -> int:
        """How many are done."""
        with self._lock:
            return sum(self._done.values())

    @property
    def total(self) -> int:
        """How many there are, as far as is known."""
        with self._lock:
            return sum(self._totals.values())

    @property
    def percent(self) -> float:
        """How much is done, 0..100."""
        done, total = self.done, self.total
        return min(100 * done / total, 100.0) if total else 100.0 * bool(self._totals)

    @property
    def wall_seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def expect(self, parts: Mapping[str, int]) -> None:
        """Take parts of known size into the total."""
        with self._lock:
            self._totals |= parts

    def drop(self, part: str) -> None:
        """Forget a part that is done in other parts."""
        with self._lock:
            self._totals.pop(part, None)
            self._done.pop(part, None)

    def tell(self, part: str, done: int, total: int | None = None, loss: float | None = None) -> None:
        """Note how much of a part is done, of how much if that is no more what was expected."""
        with self._lock:
            self._done[part] = done
            if part in self._totals and total is not None:
                self._totals[part] = total
            self._loss = self._loss if loss is None else loss
            self._show_bar()

    def settle(self, tallies: Mapping[str, Tally]) -> None:
        """Note what shards came to, once they are done."""
        with self._lock:
            for part, tally in tallies.items():
                self.num_failed += tally.failed - self.tallies.get(part, Tally()).failed
                self.tallies[part] = tally
                self._done[part] = tally.done + tally.failed
            self._show_bar()

    def end(self, part: str, *, num_failed: int = 0) -> None:
        """Note that nothing more is done of a part, and what failed in it."""
        with self._lock:
            self._totals[part] = self._done.get(part, 0)
            self.num_failed += num_failed
            self._show_bar()

    def tick(self) -> None:
        """Take a look at the clock, for the rate."""
        self._ticks.append((time.monotonic(), self.done))

    def describe(self) -> str:
        """Return how far the run is, how fast it goes and how long it may still take, in a line."""
        done, total, rate = self.done, self.total, self._rate()
        most = "at most " if self.is_most else ""
        parts = [f"{done:,} of {most}{total:,} {self.unit}s, {self.num_failed:,} failed"]
        if rate:
            left = _duration((total - done) / rate)
            more = f", {most or 'about '}{left} left" if total > done else ""
            parts.append(f"{rate:.3g} {self.unit}s a second{more}")
        if self._loss is not None:
            parts.append(f"loss {self._loss:.4f}")
        return "; ".join(parts)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _rate(self) -> float | None:
        if len(self._ticks) < 2:
            return None
        (start, before), (end, after) = self._ticks[0], self._ticks[-1]
        return (after - before) / (end - start) if end > start and after > before else None

    def _show_bar(self) -> None:
        if not self._bar.disable:
            told = {"failed": self.num_failed} | ({} if self._loss is None else {"loss": f"{self._loss:.4f}"})
            self._bar.total = sum(self._totals.values())
            self._bar.set_postfix(told, refresh=False)
            self._bar.update(sum(self._done.values()) - self._bar.n)


@contextmanager
def open_progress(
    progress: RunProgress, key: str | None = None, watch: Callable[[RunProgress], None] | None = None
) -> Iterator[RunProgress]:
    """Show how far this flow run is until the block ends; its tasks find the progress by the run.

    Args:
        progress: Of the run.
        key: Of its artifact; without one there is none.
        watch: Called now and then to look for what is done elsewhere, where no task tells.
    """
    run_id, end = str(runtime.flow_run.get_id()), threading.Event()
    artifact = create_progress_artifact(0.0, key=key, description=progress.describe()) if key else None
    told = copy_context().run
    teller = threading.Thread(target=told, args=(_tell, progress, artifact, watch, get_run_logger(), end), daemon=True)
    _RUNS[run_id] = progress
    teller.start()
    try:
        yield progress
    finally:
        end.set()
        teller.join()
        del _RUNS[run_id]
        progress.close()


@contextmanager
def show_progress(part: str) -> Iterator[Callable[..., None]]:
    """Let a task tell how far it is; gives a function for that.

    It is called with how much is done, how much there is, and a loss if there is one. It raises StopRequested where the
    task ought to stop.

    Args:
        part: Of the run, see `RunProgress`.
    """
    tell = _find_listener(str(runtime.flow_run.get_id()))

    def show(done: int, total: int, loss: float | None = None) -> None:
        if should_stop():
            raise StopRequested("the process was asked to end; run again to go on")
        tell(part, done, total, loss)

    yield show


def listen(client: Any) -> None:
    """Hear what workers of a Dask cluster tell of this flow run."""
    run_id = str(runtime.flow_run.get_id())

    def hear(event: tuple[float, Any]) -> None:
        if (progress := _RUNS.get(run_id)) is not None:
            progress.tell(*event[1])

    client.subscribe_topic(_TOPIC + run_id, hear)


def _find_listener(run_id: str) -> Callable[[str, int, int, float | None], None]:
    """Return what a task tells: its run if that is in this process, or the cluster that this is a worker of."""
    if (progress := _RUNS.get(run_id)) is not None:
        return progress.tell
    if "distributed" in sys.modules:
        from distributed import get_worker

        try:
            return _make_sender(get_worker(), _TOPIC + run_id)
        except ValueError:  # not in a worker
            pass
    return lambda *_: None


def _make_sender(worker: Any, topic: str) -> Callable[[str, int, int, float | None], None]:
    last = [0.0]

    def send(part: str, done: int, total: int, loss: float | None) -> None:
        now = time.monotonic()
        if done >= total or now - last[0] >= _EVENT_SECONDS:
            last[0] = now
            worker.log_event(topic, [part, done, total, loss])

    return send


def _tell(
    progress: RunProgress,
    artifact: Any,
    watch: Callable[[RunProgress], None] | None,
    log: Any,
    end: threading.Event,
) -> None:
    """Tell of a run until it ends, and once more then."""
    looked, logged, pause = time.monotonic(), time.monotonic(), TELL_SECONDS
    progress.tick()
    while not end.wait(TELL_SECONDS):
        now = time.monotonic()
        if watch is not None and now - looked >= pause:
            _try(lambda: watch(progress))
            looked = time.monotonic()
            pause = max(TELL_SECONDS, 20 * (looked - now))  # a store that is slow to list is asked less
        progress.tick()
        _try(lambda: _update(artifact, progress))
        if now - logged >= _LOG_SECONDS:
            log.info(progress.describe())
            logged = now
    progress.tick()
    _try(lambda: _update(artifact, progress))
    log.info(progress.describe())


def _update(artifact: Any, progress: RunProgress) -> None:
    if artifact is not None:
        with get_client(sync_client=True) as client:
            client.update_artifact(artifact, ArtifactUpdate(data=progress.percent, description=progress.describe()))


def _try(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:  # what a run shows must not end it
        logger.debug("progress could not be told: %s", error)


def _duration(seconds: float) -> str:
    from artbank.report.markdown import seconds_text

    return seconds_text(seconds)
