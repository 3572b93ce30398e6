"""Leases in the store, so that two runs do not do the same work at once.

    <name>.lease-000001    a generation of a lease; the highest number is valid

A generation is created conditionally, so exactly one of all contenders gets it, and its holder rewrites it at regular
intervals. A contender watches how long the content stays the same on its own monotonic clock: times of two machines are
never compared, so a wrong clock does no harm. If a lease is not renewed for too long, or its process is known to be
dead, a contender creates the next generation. The old holder notices at its next renewal and gives up.

A lease avoids duplicate work; it is not a lock. A holder that missed its renewals works on until its next renewal.
Anything that must happen once uses its own conditional create.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import getpid

from artbank.runtime.processes import THIS_HOST, is_dead
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

RENEWALS_PER_TERM = 3
"""Renewals during the time after which a lease without renewal counts as abandoned."""


class Lease:
    """One generation that this process holds, until `is_lost`."""

    def __init__(self, store: Store, name: str, generation: int):
        """Use `Contender.try_acquire` instead."""
        self.is_lost = False
        self._store = store
        self._name = name
        self._generation = generation
        self._owner = uuid.uuid4().hex
        self._num_renewals = 0
        self._lock = threading.Lock()

    @property
    def key(self) -> str:
        """Its key in the store."""
        return _key(self._name, self._generation)

    def heartbeat(self) -> bytes:
        """Return the content of the lease: owner, number of renewals, machine and process."""
        return json.dumps([self._owner, self._num_renewals, THIS_HOST, getpid()]).encode()

    def renew(self) -> bool:
        """Renew the lease; returns False, from then on, once another process has taken it over.

        Raises:
            OSError: The store failed.
        """
        with self._lock:
            self.is_lost = self.is_lost or not self._is_own()
            if not self.is_lost:
                self._num_renewals += 1
                self._store.write(self.key, self.heartbeat())
            return not self.is_lost

    def release(self) -> None:
        """Give the lease up, and delete the older generations of holders that lost it.

        Raises:
            OSError: The store failed.
        """
        with self._lock:
            if not self.is_lost and self._is_own():
                found = list_generations(self._store, self._name)
                self._store.delete_many(_key(self._name, number) for number in found if number <= self._generation)
            self.is_lost = True

    def _is_own(self) -> bool:
        if max(list_generations(self._store, self._name), default=0) != self._generation:
            return False
        try:
            owner, _, _ = _parse_heartbeat(self._store.read(self.key))
        except FileNotFoundError:
            return False
        return owner == self._owner


class Contender:
    """A process that wants a lease and watches how long its holder has not renewed it."""

    def __init__(self, store: Store, name: str, seconds: float, *, clock: Callable[[], float] = time.monotonic):
        """Prepare to acquire a lease; reads nothing yet.

        Args:
            store: Store of the lease.
            name: Key of the lease, without the suffix of the generation.
            seconds: Time without renewal after which a lease counts as abandoned.
            clock: Monotonic clock, seconds.
        """
        self._store = store
        self._name = name
        self._seconds = seconds
        self._clock = clock
        self._last_seen: tuple[int, bytes] | None = None
        self._unchanged_since = 0.0

    def try_acquire(self) -> Lease | None:
        """Return the lease if it is free or abandoned, else None.

        Raises:
            OSError: The store failed.
        """
        try:
            generation = max(list_generations(self._store, self._name), default=0)
            if generation and not self._is_abandoned(generation, self._store.read(_key(self._name, generation))):
                return None
        except FileNotFoundError:  # released between listing and reading
            return None
        except BaseException:
            self._last_seen = None  # while the store failed, the holder may have been unable to renew
            raise
        lease = Lease(self._store, self._name, generation + 1)
        return lease if self._store.create(lease.key, lease.heartbeat()) else None

    def _is_abandoned(self, generation: int, heartbeat: bytes) -> bool:
        if (generation, heartbeat) != self._last_seen:
            self._last_seen = (generation, heartbeat)
            self._unchanged_since = self._clock()
        _, host, process = _parse_heartbeat(heartbeat)
        return is_dead(host, process) or self._clock() - self._unchanged_since >= self._seconds


@contextmanager
def renew_in_background(seconds: float) -> Iterator[list[Lease]]:
    """Yield an empty list; renew the leases that the block adds to it, and release them at the end.

    Args:
        seconds: Time without renewal after which a lease counts as abandoned.
    """
    leases: list[Lease] = []
    done = threading.Event()

    def renew_all() -> None:
        while not done.wait(seconds / RENEWALS_PER_TERM):
            for lease in tuple(leases):
                _try(lease.renew, lease)

    thread = threading.Thread(target=renew_all, name="leases", daemon=True)
    thread.start()
    try:
        yield leases
    finally:
        done.set()
        thread.join()
        for lease in leases:
            _try(lease.release, lease)


def list_generations(store: Store, name: str) -> list[int]:
    """Return the numbers of the existing generations of a lease, sorted.

    Raises:
        OSError: The store failed.
    """
    folder = name.rpartition("/")[0]
    prefix = f"{name}.lease-"
    numbers = [stored.key.removeprefix(prefix) for stored in store.scan(folder) if stored.key.startswith(prefix)]
    return sorted(int(number) for number in numbers if number.isascii() and number.isdigit())


def _try(action: Callable[[], object], lease: Lease) -> None:
    """Renew or release a lease; a failure must not stop the work that the lease is for."""
    try:
        action()
    except Exception as error:
        logger.warning("lease %s: %s", lease.key, error)


def _key(name: str, generation: int) -> str:
    return f"{name}.lease-{generation:06d}"


def _parse_heartbeat(heartbeat: bytes) -> tuple[str, str, int]:
    """Return owner, machine and process; values that no process has if the content is invalid."""
    try:
        owner, _, host, process = json.loads(heartbeat)
        return str(owner), str(host), int(process)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return "", "", 0
