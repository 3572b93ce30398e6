from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artbank.runtime.processes import PID_SPACE, is_dead
from artbank.store.heartbeats import Heartbeat, list_generations, parse_key, read_heartbeats
from artbank.store.leases import Contender, Lease, release_all, renew_all, renew_in_background
from artbank.store.objects import Store
from tests.support.counted_store import count_calls

NAME = "checkpoints/novak/0123456789abcdef"
SECONDS = 90.0


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(store_uri: str) -> Store:
    return Store.open(store_uri)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def contend(store: Store, clock: Clock) -> Callable[[], Contender]:
    return lambda: Contender(store, NAME, SECONDS, clock=clock)


def take(contender: Contender) -> Lease:
    lease = contender.try_acquire()
    assert lease is not None
    return lease


def test_one_has_it_and_another_gets_it_when_it_is_released(store: Store, contend: Callable[[], Contender]) -> None:
    held, other = take(contend()), contend()
    assert other.try_acquire() is None and held.renew()
    held.release()
    assert list_generations(store, [NAME])[NAME] == []
    assert take(other).renew()


def test_a_holder_that_gives_signs_of_life_keeps_it_however_long(
    clock: Clock, contend: Callable[[], Contender]
) -> None:
    held, other = take(contend()), contend()
    for _ in range(10):
        assert other.try_acquire() is None
        clock.now += 0.9 * SECONDS
        assert held.renew()
    assert other.try_acquire() is None


def test_a_holder_that_is_silent_is_superseded_and_finds_it_out(
    store: Store, clock: Clock, contend: Callable[[], Contender]
) -> None:
    held, other = take(contend()), contend()
    assert other.try_acquire() is None
    clock.now += SECONDS - 1
    assert other.try_acquire() is None and not held.is_lost
    clock.now += 1
    taken = take(other)
    assert not held.renew() and held.is_lost and not held.renew()
    held.release()
    assert list_generations(store, [NAME])[NAME] == [1, 2] and taken.renew()
    taken.release()
    assert list_generations(store, [NAME])[NAME] == []


def test_who_comes_late_waits_the_whole_time_by_its_own_clock(clock: Clock, contend: Callable[[], Contender]) -> None:
    take(contend())
    clock.now += 10 * SECONDS
    late = contend()
    assert late.try_acquire() is None
    clock.now += SECONDS
    take(late)


def test_of_many_who_take_over_at_once_exactly_one_has_it(
    store: Store, clock: Clock, contend: Callable[[], Contender]
) -> None:
    take(contend())
    contenders = [contend() for _ in range(16)]
    for _ in range(3):
        assert [one.try_acquire() for one in contenders] == [None] * len(contenders)
        clock.now += SECONDS
        together = threading.Barrier(len(contenders))

        def strike(one: Contender, together: threading.Barrier = together) -> Lease | None:
            together.wait()
            return one.try_acquire()

        with ThreadPoolExecutor(len(contenders)) as pool:
            winners = [lease for lease in pool.map(strike, contenders) if lease is not None]
        assert len(winners) == 1 and winners[0].renew()
    assert list_generations(store, [NAME])[NAME] == [1, 2, 3, 4]


def test_a_lease_that_was_written_over_or_is_gone_is_lost(store: Store, contend: Callable[[], Contender]) -> None:
    held = take(contend())
    store.delete_many([held.key])
    again = take(contend())
    assert again.key == held.key
    assert not held.renew() and again.renew()
    store.delete_many([again.key])
    assert not again.renew()


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[1, 2]", b'["a", 0, "b", 1e999]', b"[" * 100_000])
def test_a_lease_that_cannot_be_read_is_left_after_the_time_as_any_other(
    store: Store, clock: Clock, contend: Callable[[], Contender], body: bytes
) -> None:
    store.write(f"{NAME}.lease-000007", body)
    store.write(f"{NAME}.lease-odd", b"no number")
    other = contend()
    assert other.try_acquire() is None
    clock.now += SECONDS
    assert take(other).key == f"{NAME}.lease-000008"


def test_leases_are_renewed_while_a_block_runs_and_released_after_an_error(tmp_path: object) -> None:
    store, heartbeats = Store.open(str(tmp_path)), set()
    other = Contender(store, NAME, SECONDS)
    with pytest.raises(ZeroDivisionError), renew_in_background(0.3) as leases:
        leases.append(take(Contender(store, NAME, SECONDS)))
        while len(heartbeats) < 4:
            assert other.try_acquire() is None
            heartbeats.add(store.read(leases[0].key))
            time.sleep(0.02)
        raise ZeroDivisionError
    take(other)  # at once: it was released, for SECONDS have not passed


def test_a_lease_that_cannot_be_written_keeps_no_other_from_its_renewal_and_release(store: Store) -> None:
    names = ["leases/a", "leases/b", "leases/c"]
    leases = [take(Contender(store, name, SECONDS)) for name in names]

    def refuse(method: str, objects: Mapping[str, bytes] | Sequence[str]) -> None:
        if method in ("write_many", "delete_many") and leases[1].key in objects:
            raise PermissionError("refused")

    with count_calls(store, refuse):
        assert list(renew_all(leases)) == [leases[1]]
        found = read_heartbeats(store, names)
        assert list(release_all(leases)) == [leases[1]]
    assert [heartbeat.num_renewals for heartbeat in found.values() if heartbeat] == [1, 0, 1]
    assert [lease.is_lost for lease in leases] == [True, False, True]
    assert list_generations(store, names) == {"leases/a": [], "leases/b": [1], "leases/c": []}


def test_a_process_that_is_gone_leaves_its_lease_at_once(tmp_path: object) -> None:
    code = (
        "import os, sys; from artbank.store.leases import Contender; from artbank.store.objects import Store\n"
        f"print(Contender(Store.open(sys.argv[1]), {NAME!r}, 90).try_acquire().key); sys.stdout.flush(); os.abort()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.strip() == f"{NAME}.lease-000001"
    assert take(Contender(Store.open(str(tmp_path)), NAME, SECONDS)).key == f"{NAME}.lease-000002"


def test_of_a_process_on_another_machine_nothing_is_known() -> None:
    assert not is_dead("ffffffff", 2**22 + 1)
    assert not is_dead("", 0)
    assert not is_dead(PID_SPACE, os.getpid())
    assert is_dead(PID_SPACE, 2**22 + 1)  # beyond what Linux gives
    assert not is_dead(PID_SPACE, 2**80)


_LOOK_FROM_A_CONTAINER = f"""
import sys
from artbank.store.leases import Contender
from artbank.store.objects import Store

store = Store.open(sys.argv[1])
print(Contender(store, {NAME!r}, 90).try_acquire(), store.list_leftovers(older_than_seconds=3600))
"""


def test_a_container_with_the_name_of_this_host_takes_nothing_from_a_living_process(
    tmp_path: Path, require_programs: Callable[[Sequence[str]], None]
) -> None:
    """A container sees none of the processes of this machine, and may have its host name and its boot."""
    container = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    usable = shutil.which("unshare") and subprocess.run([*container, "true"], capture_output=True).returncode == 0
    require_programs([] if usable else ["unshare"])
    store = Store.open(str(tmp_path))
    take(Contender(store, NAME, SECONDS))
    (tmp_path / f".{'a' * 16}{PID_SPACE}{os.getpid():08x}.tmp").write_bytes(b"half")
    command = [*container, sys.executable, "-c", _LOOK_FROM_A_CONTAINER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("None []", "")


def test_a_heartbeat_tells_what_its_holder_works_on(store: Store, contend: Callable[[], Contender]) -> None:
    assert read_heartbeats(store, [NAME])[NAME] is None
    held = take(contend())
    found = read_heartbeats(store, [NAME])[NAME]
    assert found is not None and (found.pid_space, found.process, found.work) == (PID_SPACE, os.getpid(), "")
    assert len(json.loads(held.heartbeat())) == 4  # as older versions read it
    held.work = "a run"
    assert held.renew()
    found = read_heartbeats(store, [NAME])[NAME]
    assert found is not None and (found.num_renewals, found.work) == (1, "a run")


def test_a_heartbeat_of_an_older_version_is_of_an_unknown_process() -> None:
    old = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    assert not Heartbeat.from_bytes(json.dumps(["a", 3, old, 2**22 + 1]).encode()).is_of_dead_process


def test_keys_of_leases_are_told_from_others() -> None:
    assert parse_key(f"{NAME}.lease-000012") == NAME
    assert [parse_key(key) for key in (NAME, f"{NAME}.lease-", f"{NAME}.lease-odd", ".lease-1")] == [None] * 4


@pytest.mark.parametrize("stray", ["1", "0000001", "000000", "00000²", "-00001", "9" * 5000, "000001.bak"])
def test_a_file_that_is_no_generation_holds_no_lease(tmp_path: Path, stray: str) -> None:
    store = Store.open("memory://stray") if len(stray) > 200 else Store.open(str(tmp_path))
    key = f"{NAME}.lease-{stray}"
    store.write(key, Heartbeat("stranger", 1, "elsewhere", 1).to_bytes())
    assert parse_key(key) is None
    lease = Contender(store, NAME, SECONDS).try_acquire()
    assert lease is not None and lease.key == f"{NAME}.lease-000001"


def test_generations_after_the_last_of_six_digits_are_leases(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    last = Lease(store, NAME, 999_999)
    store.create(last.key, Heartbeat("", 0, PID_SPACE, 2**30).to_bytes())
    lease = Contender(store, NAME, SECONDS).try_acquire()
    assert lease is not None and parse_key(lease.key) == NAME and lease.key.endswith("-1000000")
