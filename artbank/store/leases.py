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

import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from os import getpid

from artbank.runtime.processes import PID_SPACE
from artbank.store.heartbeats import Heartbeat, lease_key, list_generations
from artbank.store.objects import Store

logger = logging.getLogger(__name__)

RENEWALS_PER_TERM = 3
"""Renewals during the time after which a lease without renewal counts as abandoned."""


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
        return lease_key(self._name, self._generation)

    def heartbeat(self) -> bytes:
        """Return the content of the lease; see `Heartbeat`."""
        return Heartbeat(self._owner, self._num_renewals, PID_SPACE, getpid(), self.work).to_bytes()

    def renew(self) -> bool:
        """Renew the lease; returns False, from then on, once another process has taken it over.

        Raises:
            OSError: The store failed.
        """
        for error in renew_all([self]).values():
            raise error
        return not self.is_lost

    def release(self) -> None:
        """Give the lease up, and delete the older generations of holders that lost it.

        Raises:
            OSError: The store failed.
        """
        for error in release_all([self]).values():
            raise error


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
            generation = max(list_generations(self._store, [self._name])[self._name], default=0)
            if generation and not self._is_abandoned(generation, self._store.read(lease_key(self._name, generation))):
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

    def renew_until_done() -> None:
        while not done.wait(seconds / RENEWALS_PER_TERM):
            _warn_of(renew_all(tuple(leases)))

    thread = threading.Thread(target=renew_until_done, name="leases", daemon=True)
    thread.start()
    try:
        yield leases
    finally:
        done.set()
        thread.join()
        _warn_of(release_all(leases))


def renew_all(leases: Sequence[Lease]) -> dict[Lease, Exception]:
    """Renew leases; those that other processes have taken over are lost from then on.

    The leases of one folder cost one listing, one reading and one writing, however many they are.

    Returns:
        The leases that were not renewed because the store failed, with its errors.
    """
    return _in_groups(leases, _renew)


def release_all(leases: Sequence[Lease]) -> dict[Lease, Exception]:
    """Give leases up, and delete the older generations of holders that lost them; costs as little as `renew_all`.

    Returns:
        The leases that were not released because the store failed, with its errors.
    """
    return _in_groups(leases, _release)


_Group = Callable[[Store, Sequence[Lease]], dict[Lease, Exception]]


def _in_groups(leases: Sequence[Lease], action: _Group) -> dict[Lease, Exception]:
    """Do something with the leases of each folder, whatever comes of the others."""
    groups: dict[tuple[Store, str], list[Lease]] = defaultdict(list)
    for lease in leases:
        groups[lease._store, lease._name.rpartition("/")[0]].append(lease)
    failed: dict[Lease, Exception] = {}
    for (store, _), group in groups.items():
        with ExitStack() as stack:
            for lease in sorted(group, key=lambda lease: lease.key):  # the same order in all threads: no deadlock
                stack.enter_context(lease._lock)
            held = [lease for lease in group if not lease.is_lost]
            try:
                failed |= action(store, held)
            except Exception as error:
                failed |= dict.fromkeys(held, error)
    return failed


def _renew(store: Store, leases: Sequence[Lease]) -> dict[Lease, Exception]:
    held, failed = _find_held(store, leases)
    for lease in held:
        lease._num_renewals += 1
    heartbeats = {lease.key: lease.heartbeat() for lease in held}
    try:
        store.write_many(heartbeats)
    except Exception:  # one that cannot be written must not keep the others from it
        failed |= _try_each(held, lambda lease: store.write(lease.key, heartbeats[lease.key]))
    return failed


def _release(store: Store, leases: Sequence[Lease]) -> dict[Lease, Exception]:
    held, failed = _find_held(store, leases)
    keys = {lease: [lease_key(lease._name, number) for number in numbers] for lease, numbers in held.items()}
    try:
        store.delete_many(key for generations in keys.values() for key in generations)
    except Exception:
        failed |= _try_each(held, lambda lease: store.delete_many(keys[lease]))
    for lease in leases:
        lease.is_lost = lease not in failed
    return failed


def _find_held(store: Store, leases: Sequence[Lease]) -> tuple[dict[Lease, list[int]], dict[Lease, Exception]]:
    """Return the leases that are still held, with all their generations, and those of which the store failed.

    The others are lost from then on.
    """
    generations = list_generations(store, [lease._name for lease in leases])
    newest = [lease for lease in leases if generations[lease._name][-1:] == [lease._generation]]
    read = store.read_many([lease.key for lease in newest])
    held: dict[Lease, list[int]] = {}
    failed: dict[Lease, Exception] = {}
    for lease in leases:
        data = read.get(lease.key, FileNotFoundError())
        if isinstance(data, bytes) and Heartbeat.from_bytes(data).owner == lease._owner:
            held[lease] = generations[lease._name]
        elif isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
            failed[lease] = data
        else:
            lease.is_lost = True
    return held, failed


def _try_each(leases: Iterable[Lease], action: Callable[[Lease], None]) -> dict[Lease, Exception]:
    failed: dict[Lease, Exception] = {}
    for lease in leases:
        try:
            action(lease)
        except Exception as error:
            failed[lease] = error
    return failed


def _warn_of(failed: Mapping[Lease, Exception]) -> None:
    """Log the leases that could not be renewed or released; it must not stop the work that they are for."""
    for lease, error in failed.items():
        logger.warning("lease %s: %s", lease.key, error)
