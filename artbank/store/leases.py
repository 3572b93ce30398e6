"""Leases in the store, so that two runs do not do the same work at once.

    <name>.lease-000001    a generation of a lease; the highest number is valid

A generation is created conditionally, so exactly one of all contenders gets it, and its holder rewrites it at regular
intervals. A contender watches how long the content stays the same on its own monotonic clock: times of two machines are
never compared, so a wrong clock does no harm. If a lease is not renewed for too long, or its process is known to be
dead, a contender creates the next generation. The old holder notices at its next renewal and gives up. A process is
known to be dead only to those of the same pid namespace since the same boot, so two containers never judge each other.

A lease avoids duplicate work; it is not a lock. A holder that missed its renewals works on until its next renewal.
Anything that must happen once uses its own conditional create. In a store without conditional writes two contenders
may create the same generation; the later one keeps it, and the earlier one notices at its next renewal.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import getpid

from artbank.runtime.processes import PID_SPACE, is_dead
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

RENEWALS_PER_TERM = 3
"""Renewals during the time after which a lease without renewal counts as abandoned."""


@dataclass(frozen=True)
class Heartbeat:
    """The content of a lease.

    Attributes:
        owner: Random, for each generation.
        num_renewals: Grows while the holder is alive.
        pid_space: See `runtime.processes`.
        process: Id of the holder's process.
        work: What the holder works on, in its own words; empty if it said nothing.
    """

    owner: str
    num_renewals: int
    pid_space: str
    process: int
    work: str = ""

    @property
    def is_of_dead_process(self) -> bool:
        """Whether the holder is known to have ended."""
        return is_dead(self.pid_space, self.process)

    def to_bytes(self) -> bytes:
        """Return the heartbeat as JSON; without `work` it is one that older versions can read."""
        facts = [self.owner, self.num_renewals, self.pid_space, self.process, *([self.work] if self.work else [])]
        return json.dumps(facts).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Heartbeat:
        """Parse a heartbeat; one of no process if the content is invalid."""
        try:
            owner, num_renewals, pid_space, process, *work = json.loads(data)
            return cls(str(owner), int(num_renewals), str(pid_space), int(process), "".join(map(str, work)))
        except (ValueError, TypeError, OverflowError, RecursionError):
            return cls("", 0, "", 0)


class Lease:
    """One generation that this process holds, until `is_lost`.

    Attributes:
        work: What this process works on, for other processes; written with the next renewal.
    """

    def __init__(self, store: Store, name: str, generation: int):
        """Use `Contender.try_acquire` instead."""
        self.is_lost = False
        self.work = ""
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
        """Return the content of the lease; see `Heartbeat`."""
        return Heartbeat(self._owner, self._num_renewals, PID_SPACE, getpid(), self.work).to_bytes()

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
            return Heartbeat.from_bytes(self._store.read(self.key)).owner == self._owner
        except FileNotFoundError:
            return False


class Contender:
    """A process that wants a lease and watches how long its holder has not renewed it.

    Attributes:
        num_refusals: How often another process was found to hold the lease.
    """

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
        self.num_refusals = 0
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
                self.num_refusals += 1
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
        is_silent = self._clock() - self._unchanged_since >= self._seconds
        return is_silent or Heartbeat.from_bytes(heartbeat).is_of_dead_process


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


def read_heartbeat(store: Store, name: str) -> Heartbeat | None:
    """Return the newest heartbeat of a lease, or None if nobody holds it.

    Raises:
        OSError: The store failed.
    """
    generation = max(list_generations(store, name), default=0)
    try:
        return Heartbeat.from_bytes(store.read(_key(name, generation))) if generation else None
    except FileNotFoundError:  # released between listing and reading
        return None


def parse_key(key: str) -> str | None:
    """Return the name of the lease that a key is a generation of, or None if it is none."""
    name, _, number = key.rpartition(".lease-")
    return name if number.isascii() and number.isdigit() and name else None


def find_leases(store: Store, folder: str) -> dict[str, bool]:
    """Return the keys of all generations below a folder, and whether the newest holder is known to have ended.

    Raises:
        OSError: The store failed.
    """
    names = {stored.key: parse_key(stored.key) for stored in store.scan(folder)}
    heartbeats = {name: read_heartbeat(store, name) for name in names.values() if name}
    found = {key: heartbeats[name] for key, name in names.items() if name}
    return {key: heartbeat.is_of_dead_process for key, heartbeat in found.items() if heartbeat}


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
