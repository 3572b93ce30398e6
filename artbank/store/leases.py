"""Who is at work on what: leases in the store, so that two runs do not do the same thing at once.

    <name>.lease-000001    a generation; the highest that is there holds

A generation is created conditionally, so that of all who try exactly one has it, and its holder writes it anew at
intervals. Who waits compares what it reads by its own monotonic clock: no times are compared, so no clock can be wrong.
What has not changed for too long, or is of a process that is known to be gone, is superseded by creating the next
generation, which the holder finds out when it renews its own, and gives up.

A lease saves work and guards nothing: a holder that was silent for too long goes on until it looks. What must not
happen twice is kept from it by conditional creation of its own.
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

BEATS = 3
"""Renewals in the time after which a lease that stays as it is counts as left."""


class Lease:
    """One generation that this process holds, until `is_lost`."""

    def __init__(self, store: Store, name: str, generation: int):
        """Use `Contender.try_acquire` instead."""
        self.is_lost = False
        self._store, self._name, self._generation = store, name, generation
        self._owner, self._beats, self._lock = uuid.uuid4().hex, 0, threading.Lock()

    @property
    def key(self) -> str:
        """Where it lies."""
        return _key(self._name, self._generation)

    def sign(self) -> bytes:
        """Return a sign of life, different each time that it was renewed."""
        return json.dumps([self._owner, self._beats, THIS_HOST, getpid()]).encode()

    def renew(self) -> bool:
        """Leave a sign of life; returns False, from then on, where somebody else has the work now.

        Raises:
            OSError: The store failed.
        """
        with self._lock:
            self.is_lost = self.is_lost or not self._is_own()
            if not self.is_lost:
                self._beats += 1
                self._store.write(self.key, self.sign())
            return not self.is_lost

    def release(self) -> None:
        """Leave the work to whoever comes, and with it what those who lost it have left.

        Raises:
            OSError: The store failed.
        """
        with self._lock:
            if not self.is_lost and self._is_own():
                found = list_generations(self._store, self._name)
                self._store.delete_many(_key(self._name, n) for n in found if n <= self._generation)
            self.is_lost = True

    def _is_own(self) -> bool:
        if max(list_generations(self._store, self._name), default=0) != self._generation:
            return False
        try:
            return _read_sign(self._store.read(self.key))[0] == self._owner
        except FileNotFoundError:
            return False


class Contender:
    """Someone who wants a lease, and knows for how long its holder's sign of life has been the same."""

    def __init__(self, store: Store, name: str, seconds: float, *, clock: Callable[[], float] = time.monotonic):
        """Take aim at a lease; nothing is read yet.

        Args:
            store: Where it lies.
            name: Of the work: a key, to which the generation is added.
            seconds: After which a lease that stays as it is counts as left.
            clock: Seconds that only grow.
        """
        self._store, self._name, self._seconds, self._clock = store, name, seconds, clock
        self._seen: tuple[int, bytes] | None = None
        self._since = 0.0

    def try_acquire(self) -> Lease | None:
        """Take the lease if nobody has it, or if its holder has left it; returns None otherwise.

        Raises:
            OSError: The store failed.
        """
        try:
            generation = max(list_generations(self._store, self._name), default=0)
            if generation and not self._is_left(generation, self._store.read(_key(self._name, generation))):
                return None
        except FileNotFoundError:  # released while we looked
            return None
        except BaseException:
            self._seen = None  # while we could not look, its holder could perhaps not write
            raise
        lease = Lease(self._store, self._name, generation + 1)
        return lease if self._store.create(lease.key, lease.sign()) else None

    def _is_left(self, generation: int, sign: bytes) -> bool:
        if (generation, sign) != self._seen:
            self._seen, self._since = (generation, sign), self._clock()
        _, host, process = _read_sign(sign)
        return is_dead(host, process) or self._clock() - self._since >= self._seconds


@contextmanager
def renew_in_background(seconds: float) -> Iterator[list[Lease]]:
    """Give a list; renew the leases that are put into it while the block runs, and release them at its end.

    Args:
        seconds: After which others count a lease as left.
    """
    leases: list[Lease] = []
    done = threading.Event()

    def renew() -> None:
        while not done.wait(seconds / BEATS):
            for lease in tuple(leases):
                _try(lease.renew, lease)

    thread = threading.Thread(target=renew, name="leases", daemon=True)
    thread.start()
    try:
        yield leases
    finally:
        done.set()
        thread.join()
        for lease in leases:
            _try(lease.release, lease)


def list_generations(store: Store, name: str) -> list[int]:
    """Return the numbers of the generations of a lease that are there, sorted.

    Raises:
        OSError: The store failed.
    """
    folder, start = name.rpartition("/")[0], f"{name}.lease-"
    numbers = [stored.key.removeprefix(start) for stored in store.scan(folder) if stored.key.startswith(start)]
    return sorted(int(number) for number in numbers if number.isascii() and number.isdigit())


def _try(action: Callable[[], object], lease: Lease) -> None:
    """Do something about a lease; that it cannot be done now must not end the work that it is about."""
    try:
        action()
    except Exception as error:
        logger.warning("lease %s: %s", lease.key, error)


def _key(name: str, generation: int) -> str:
    return f"{name}.lease-{generation:06d}"


def _read_sign(sign: bytes) -> tuple[str, str, int]:
    """Return owner, machine and process; of what is no sign of life, nobody's."""
    try:
        owner, _, host, process = json.loads(sign)
        return str(owner), str(host), int(process)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return "", "", 0
