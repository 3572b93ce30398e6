"""Several runs over one gallery at once: no collection is trained twice, and none is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from artbank.bank.train_state import TrainState
from artbank.catalog.bank_files import load_bank
from artbank.catalog.catalog import Catalog
from artbank.config import TrainConfig
from artbank.gallery import plan, train
from artbank.gallery.train import wait_and_train
from artbank.store.objects import Store
from artbank_prefect.flows.train_banks import train_banks
from tests.support.flow_runs import id_of, log_of, run, task_runs
from tests.support.small_inputs import training
from tests.support.waiting import wait_for

_TRAIN = """
import logging, sys
from artbank.config import TrainConfig
from artbank.gallery.plan import plan_training
from artbank.gallery.train import train_collections

logging.basicConfig(level=logging.INFO, format="%(message)s")
config = TrainConfig.model_validate_json(sys.argv[1])
print(sorted(train_collections(config, plan_training(config).jobs)))
"""

_STAND_STILL_BEFORE_REGISTERING = """
import os, signal
from artbank.catalog.catalog import Catalog

reserve_version = Catalog.reserve_version

def stand_still(*given):
    os.kill(os.getpid(), signal.SIGSTOP)
    return reserve_version(*given)

Catalog.reserve_version = stand_still
"""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The steps that this process takes, by bank."""
    counted: Counter[str] = Counter()
    optimizer_step = TrainState.optimizer_step

    def count(self: TrainState) -> None:
        counted[self.bank_id] += 1
        optimizer_step(self)

    monkeypatch.setattr(TrainState, "optimizer_step", count)
    return counted


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps at which trainings are resumed in this process."""
    found: list[int] = []
    restore = TrainState.restore

    def note(self: TrainState, data: bytes) -> None:
        restore(self, data)
        found.append(self.step)

    monkeypatch.setattr(TrainState, "restore", note)
    return found


@contextmanager
def stop_in_training(config: TrainConfig) -> Iterator[subprocess.Popen[str]]:
    """Train in another process, which stands still with its first checkpoint written; killed at the end."""
    command = [sys.executable, "-c", _TRAIN, config.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while child.poll() is None and not any(Path(config.store_uri).glob("checkpoints/*/*.safetensors")):
            time.sleep(0.002)
        child.send_signal(signal.SIGSTOP)
        yield child
        child.kill()


@contextmanager
def stop_before_registering(config: TrainConfig) -> Iterator[subprocess.Popen[str]]:
    """Train in another process, which stands still after its last look at its lease; killed at the end."""
    command = [sys.executable, "-c", _STAND_STILL_BEFORE_REGISTERING + _TRAIN, config.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        wait_for(lambda: " T " in Path(f"/proc/{child.pid}/stat").read_text(), 300)
        yield child
        child.kill()


def versions(store: str) -> list[tuple[str, int]]:
    return [(bank.collection, bank.version) for bank in Catalog(Store.open(store)).banks()]


def test_two_runs_at_once_train_each_collection_once(
    trained: Any, tmp_path: Path, steps: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = training(trained.gallery, str(tmp_path), banks_at_once=1, lease_seconds=30)
    planned, plan_training = threading.Barrier(2), plan.plan_training

    def plan_together(config: TrainConfig) -> Any:
        found = plan_training(config)
        planned.wait(300)
        return found

    monkeypatch.setattr(plan, "plan_training", plan_together)
    with ThreadPoolExecutor(2) as pool:
        ends = [state.result() for state in pool.map(lambda _: run(train_banks, config), range(2))]
    assert sorted([*ends[0].trained, *ends[1].trained]) == ["ferrante", "novak"]
    for end in ends:
        assert sorted([*end.trained, *end.current]) == ["ferrante", "novak"]
    assert sorted(steps.values()) == [3, 3]
    assert versions(str(tmp_path)) == [("ferrante", 1), ("novak", 1)]
    assert not any(tmp_path.glob("checkpoints/*/*"))


def test_a_run_that_waits_takes_over_and_resumes_when_the_other_is_killed(
    trained: Any, tmp_path: Path, steps: Counter[str], resumed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, wait = training(trained.gallery, str(tmp_path), checkpoint_every=1, collections=("novak",)), wait_and_train
    with stop_in_training(config) as other:
        killer = threading.Timer(1.0, lambda: (other.kill(), other.wait()))

        def await_killed(*given: Any) -> Any:
            killer.start()
            return wait(*given)

        monkeypatch.setattr(train, "wait_and_train", await_killed)
        state = run(train_banks, training(trained.gallery, str(tmp_path), checkpoint_every=1))
        killer.join()
    assert state.result().trained == {"ferrante": 1, "novak": 1}
    assert len(resumed) == 1 and resumed[0] >= 1
    assert sorted(steps.values()) == sorted([3, 3 - resumed[0]])
    names = [one.name for one in task_runs(id_of(state), at_least=5)]
    assert [name for name in names if "await" in name] == ["await-novak"]
    log_of(id_of(state), "another run is training novak: waiting for it")
    assert versions(str(tmp_path)) == [("ferrante", 1), ("novak", 1)]
    assert not any(tmp_path.glob("checkpoints/*/*"))


def test_a_process_that_stood_still_for_too_long_is_superseded_and_gives_up(
    trained: Any, tmp_path: Path, resumed: list[int]
) -> None:
    config = training(trained.gallery, str(tmp_path), checkpoint_every=1, collections=("novak",), lease_seconds=1.5)
    with stop_in_training(config) as other:
        state = run(train_banks, config)
        assert state.result().trained == {"novak": 1}
        other.send_signal(signal.SIGCONT)
        told, log = other.communicate(timeout=300)
    assert len(resumed) == 1 and resumed[0] >= 1
    # Stopped within a renewal, it may get as far as to find what the other registered: a lease is not a lock.
    assert told.strip() == "[]" and "registered novak@" not in log
    assert versions(str(tmp_path)) == [("novak", 1)]
    assert not any(tmp_path.glob("checkpoints/*/*"))


# One instant of a registration; `tests/unit/gallery/test_registering.py` has what a process finds that comes late.
@pytest.mark.slow
def test_a_process_that_stood_still_before_it_registered_changes_nothing_that_another_registered(
    trained: Any, tmp_path: Path
) -> None:
    config = training(trained.gallery, str(tmp_path), collections=("novak",), lease_seconds=1.5)
    store = Store.open(str(tmp_path))
    with stop_before_registering(config) as other:
        assert run(train_banks, config).result().trained == {"novak": 1}
        [bank] = Catalog(store).banks()
        before = {stored.key: stored.etag for stored in store.list("banks", hash_content=True)}
        other.send_signal(signal.SIGCONT)
        told, log = other.communicate(timeout=300)
    assert told.strip() == "[]" and f"another run has registered bank {bank.bank_id}" in log
    assert {stored.key: stored.etag for stored in store.list("banks", hash_content=True)} == before
    assert Catalog(store).banks() == [bank] and load_bank(store, bank)
    assert run(train_banks, config).result().current == ("novak",)
