"""The keys of leases in a store, and the heartbeats in them; see `leases`."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from artbank.runtime.processes import is_dead
from artbank.store.delivered import require
from artbank.store.objects import Store

_KEY = re.compile(r"(?P<name>.+)\.lease-(?P<number>(?!0{6})[0-9]{6}|[1-9][0-9]{6,11})", re.DOTALL)


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


def lease_key(name: str, generation: int) -> str:
    """Return the key of a generation of a lease."""
    return f"{name}.lease-{generation:06d}"


def parse_key(key: str) -> str | None:
    """Return the name of the lease that a key is a generation of, or None if it is none."""
    return _parse(key)[0]


def list_generations(store: Store, names: Iterable[str]) -> dict[str, list[int]]:
    """Return the numbers of the existing generations of leases, sorted, by name; lists each of their folders once.

    Raises:
        OSError: The store failed.
    """
    numbers_of: dict[str, list[int]] = {name: [] for name in names}
    for folder in dict.fromkeys(name.rpartition("/")[0] for name in numbers_of):
        for stored in store.scan(folder):
            name, number = _parse(stored.key)
            if name in numbers_of and name.rpartition("/")[0] == folder:
                numbers_of[name].append(number)
    return {name: sorted(numbers) for name, numbers in numbers_of.items()}


def read_heartbeats(store: Store, names: Iterable[str]) -> dict[str, Heartbeat | None]:
    """Return the newest heartbeats of leases by name, None where nobody holds one; reads all of them at once.

    Raises:
        OSError: The store failed.
    """
    generations = list_generations(store, names)
    return _read_newest(store, {name: max(numbers, default=0) for name, numbers in generations.items()})


def find_leases(store: Store, folder: str) -> dict[str, bool]:
    """Return the keys of all generations below a folder, and whether the newest holder is known to have ended.

    Raises:
        OSError: The store failed.
    """
    names: dict[str, str] = {}
    newest: dict[str, int] = defaultdict(int)
    for stored in store.scan(folder):
        name, number = _parse(stored.key)
        if name:
            names[stored.key] = name
            newest[name] = max(newest[name], number)
    heartbeats = _read_newest(store, newest)
    heartbeat_of_key = {key: heartbeats[name] for key, name in names.items()}
    return {key: heartbeat.is_of_dead_process for key, heartbeat in heartbeat_of_key.items() if heartbeat}


def _parse(key: str) -> tuple[str | None, int]:
    """Return name and generation of a lease; None and 0 for a file that `lease_key` names no generation."""
    match = _KEY.fullmatch(key)
    return (match["name"], int(match["number"])) if match else (None, 0)


def _read_newest(store: Store, newest: dict[str, int]) -> dict[str, Heartbeat | None]:
    keys = {name: lease_key(name, generation) for name, generation in newest.items() if generation}
    read = store.read_many(list(keys.values()))
    heartbeats: dict[str, Heartbeat | None] = dict.fromkeys(newest)
    for name, key in keys.items():
        data = read[key]
        if not isinstance(data, FileNotFoundError):  # else it was released between listing and reading
            heartbeats[name] = Heartbeat.from_bytes(require(data))
    return heartbeats
