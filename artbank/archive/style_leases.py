"""Leases on the styles of an output, so that one run at a time writes a style.

<output>/results/_leases/<style>.lease-000001    held by the run that writes the style; its `work` is the run's id

Two runs with different recipes replace each other's pictures. If both wrote at once, the newer row of a photo could
name the picture of one run while the store has that of the other. So a run plans its work, acquires the leases of its
styles in the order of their names, and plans again if the output has changed since.

The workers of a run may be other processes on other machines, and go on when the run itself has ended or stood still.
So each looks at the leases before it writes: their `work` must be the id of its own run. Runs of the same id have the
same photos, recipes and parts, and write the same bytes. A risk remains in the moment between that look and the end of
the write: a process that stands still there and wakes up after another run has taken over may replace some pictures,
which `artbank verify` finds.

A look counts for a second and not for a share of the leases' seconds. While a run renews its leases, no other run can
write; but one that ends releases them, and those of a process that is known to be dead are taken over at once. From
then on another run may write, and workers of the old one would go on for as long as they trust their look.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from artbank.config import StylizeConfig
from artbank.errors import ResultsError
from artbank.results.layout import lease_name
from artbank.runtime.processes import sleep_or_stop
from artbank.store.heartbeats import Heartbeat, read_heartbeats
from artbank.store.leases import RENEWALS_PER_TERM, Contender, Lease, renew_all, renew_in_background
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 5.0  # between two looks at a style that another run writes
_TRUSTED_SECONDS = 1.0  # a look at the leases counts for this long; see above


class StyleLeases:
    """The leases that one run holds on the styles of its output."""

    def __init__(self, output: Store, seconds: float, leases: list[Lease]):
        """Use `open_style_leases` instead, which renews and releases the leases.

        Args:
            output: The output.
            seconds: Time without renewal after which a lease counts as abandoned.
            leases: Gets each lease as soon as it is held.
        """
        self._output = output
        self._seconds = seconds
        self._leases = leases
        self._held: set[str] = set()

    def acquire(self, styles: Sequence[str], should_stop: Callable[[], bool] = lambda: False) -> None:
        """Acquire the leases of some styles, and wait for runs that write them; styles that are held are skipped.

        All runs acquire in the same order, so no two wait for each other.

        Raises:
            StopRequested: `should_stop` returned True.
            OSError: The store failed.
        """
        for style in sorted({style.lower() for style in styles} - self._held):
            contender = Contender(self._output, lease_name(style), self._seconds)
            while (lease := contender.try_acquire()) is None:
                if contender.num_refusals == 1:
                    self._report_wait(style)
                sleep_or_stop(min(self._seconds / RENEWALS_PER_TERM, _WAIT_SECONDS), should_stop)
            self._leases.append(lease)
            self._held.add(style)

    def name_run(self, run_id: str) -> None:
        """Tell the workers of this run, and those of earlier runs, which run may write the styles.

        Raises:
            ResultsError: Another run has taken a style over meanwhile.
            OSError: The store failed.
        """
        for lease in self._leases:
            lease.work = run_id
        for error in renew_all(self._leases).values():
            raise error
        for lease in self._leases:
            if lease.is_lost:
                raise ResultsError(f"another run has taken over {lease.key} of {self._output.uri}; run it again")

    def _report_wait(self, style: str) -> None:
        logger.warning(
            "another run writes style %s of %s: waiting until it ends, or is silent for %g s",
            *(style, self._output.uri, self._seconds),
        )


@contextmanager
def open_style_leases(config: StylizeConfig) -> Iterator[StyleLeases]:
    """Renew the leases that the block acquires, and release them at its end."""
    output = Store.open(config.output_uri, is_durable=config.is_durable)
    with renew_in_background(config.lease_seconds) as leases:
        yield StyleLeases(output, config.lease_seconds, leases)


class WriteGuard:
    """Checks that a run still holds the leases of its styles; safe for use by several threads."""

    def __init__(
        self, output: Store, run_id: str, styles: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ):
        """Prepare to look at leases; reads nothing yet.

        Args:
            output: The output.
            run_id: The run.
            styles: Its styles.
            clock: Monotonic clock, seconds.
        """
        self._output = output
        self._run_id = run_id
        self._styles = sorted({style.lower() for style in styles})
        self._clock = clock
        self._looked_at: float | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Check that this run may write now; a look that ended less than a second ago counts.

        A look is one listing and one reading, however many styles the run has.

        Raises:
            ResultsError: Another run has taken a style over, or the run that this work belongs to has ended.
            OSError: The store failed.
        """
        with self._lock:
            if self._looked_at is not None and self._clock() - self._looked_at < _TRUSTED_SECONDS:
                return
            names = {style: lease_name(style) for style in self._styles}
            heartbeats = read_heartbeats(self._output, names.values())
            for style, name in names.items():
                self._check_style(style, heartbeats[name])
            # Not before the look: one that took over a second would never count, and all that waited would repeat it.
            self._looked_at = self._clock()

    def _check_style(self, style: str, heartbeat: Heartbeat | None) -> None:
        if heartbeat is None or heartbeat.work != self._run_id:
            found = "no run" if heartbeat is None else f"run {heartbeat.work or 'without a plan yet'}"
            raise ResultsError(
                f"expected run {self._run_id} to hold the lease of style {style} in {self._output.uri}, found {found}: "
                "this run was paused for too long, or its main process has ended; run it again"
            )
