"""Runs on clusters of several processes: the same pictures, one model a process, nothing lost with a killed worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed  # noqa: F401 - before its settings are set for a while: else its defaults go with them
import pytest
from pydantic import ValidationError

from artbank.parameters.run_config import RunConfig
from artbank.results import attempts, ledger
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from artbank_prefect.tasks.runners import _DASK, _start
from tests.support.blocked_signals import TERMINAL_SIGNALS, hidden_signals
from tests.support.flow_runs import id_of, log_of, run, task_runs
from tests.support.interrupted_runs import NUM_PHOTOS, pictures
from tests.support.small_inputs import listing, stylizing, training
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes, as `runner="dask"` starts them, that outlive a run."""
    import dask

    with dask.config.set(_DASK), _start(RunConfig(num_workers=2))() as started:
        yield started


# CI draws on a cluster whose workers are killed, below
@pytest.mark.slow
def test_a_cluster_of_this_machine_gives_the_same_pictures_and_loads_a_model_in_each_process_once(
    trained: Any, photos: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    config = stylizing(photos, str(tmp_path), trained.store, "novak", shard_size=2, runner="dask", num_workers=2)
    state = run(stylize_archive, config)
    assert state.is_completed(), state
    assert pictures(str(tmp_path)) == undisturbed
    lines = log_of(id_of(state), "photos: 8; to stylize: 8, in 4 shards")
    assert 1 <= sum("base model mini on cpu" in line for line in lines) <= 2


def test_no_worker_can_be_reached_by_ctrl_c_not_even_one_that_starts_again(cluster: Any) -> None:
    for worker in cluster.workers.values():
        for again in (False, True):
            if again:
                first = worker.process.pid
                os.kill(first, signal.SIGKILL)
                wait_for(lambda: worker.process and worker.process.pid not in (None, first))  # noqa: B023
            assert hidden_signals(worker.process.pid) == TERMINAL_SIGNALS
    wait_for(lambda: len(cluster.scheduler.workers) == 2)


def test_workers_that_are_killed_in_the_middle_of_a_shard_lose_nothing(
    trained: Any, photos: str, undisturbed: dict[str, bytes], cluster: Any, tmp_path: Path
) -> None:
    output = Store.open(str(tmp_path))
    victims: list[int] = []

    def kill() -> None:
        while not attempts.find_unfinished(output):
            time.sleep(0.01)
        victims.extend(worker.process.pid for worker in cluster.workers.values())  # one of them is in the middle of it
        for victim in victims:
            os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    config = stylizing(photos, str(tmp_path), trained.store, "novak", shard_size=2, runner=cluster.scheduler_address)
    state = run(stylize_archive, config)
    killer.join(60)
    assert victims and state.is_completed(), state
    assert pictures(str(tmp_path)) == undisturbed
    assert len(ledger.read_ledger(output)) == NUM_PHOTOS
    assert not [name for name in listing(tmp_path) if "_begun" in name]


def test_a_worker_is_given_a_shard_when_it_is_free_and_not_before(
    trained: Any, photos: str, cluster: Any, tmp_path: Path
) -> None:
    from distributed import Client

    held: list[int] = []

    def look() -> None:
        with Client(cluster.scheduler_address) as client:
            while looking:
                held.extend(len(tasks) for tasks in client.processing().values())
                time.sleep(0.02)

    looking = [True]
    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    config = stylizing(photos, str(tmp_path), trained.store, "novak", shard_size=1, runner=cluster.scheduler_address)
    state = run(stylize_archive, config)
    looking.clear()
    looker.join(60)
    assert state.is_completed(), state
    assert 1 <= max(held) <= 2  # Dask sends two of a kind before it sees that there are many


# The harder case is above, a worker that is killed; `tests/unit/archive/test_shard.py` gives a shard back.
@pytest.mark.slow
def test_a_worker_that_is_closed_gives_its_shard_back_to_another(
    trained: Any, photos: str, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    import dask
    from distributed import Client

    output = Store.open(str(tmp_path))

    def close_one() -> None:
        with Client(address) as client:
            while not (busy := [name for name, tasks in client.processing().items() if tasks]):
                time.sleep(0.01)
            while not attempts.find_unfinished(output):
                time.sleep(0.01)
            client.retire_workers(busy[:1])

    with dask.config.set(_DASK), _start(RunConfig(num_workers=2))() as cluster:
        address = cluster.scheduler_address
        closer = threading.Thread(target=close_one, daemon=True)
        closer.start()
        config = stylizing(photos, str(tmp_path), trained.store, "novak", shard_size=4, batch_size=1, runner=address)
        state = run(stylize_archive, config)
        closer.join(60)
    assert state.is_completed(), state
    assert any("released for another worker" in line for line in log_of(id_of(state), "released for another worker"))
    assert pictures(str(tmp_path)).keys() == undisturbed.keys()
    assert len(ledger.read_ledger(output)) == NUM_PHOTOS and attempts.find_unfinished(output) == {}


def test_banks_are_trained_on_a_cluster_too(trained: Any, cluster: Any, tmp_path: Path) -> None:
    config = training(trained.gallery, str(tmp_path), runner=cluster.scheduler_address)
    state = run(train_banks, config)
    assert state.is_completed(), state
    assert {path.name for path in (tmp_path / "banks").iterdir()} == {"ferrante", "novak"}
    names = [one.name for one in task_runs(id_of(state), at_least=3)]
    assert names[-2:] == ["train-ferrante", "train-novak"]  # one for each worker, though both may be trained together


@pytest.mark.parametrize("runner", ["ray", "tcp://", "tcp://user:secret@host:8786", "host:8786", "deployment:gpu"])
def test_a_runner_that_is_none_is_refused(runner: str) -> None:
    with pytest.raises(ValidationError, match="runner"):
        RunConfig(runner=runner)
    with pytest.raises(ValidationError, match="runner"):
        stylizing("photos", "output", "store", "novak", runner=runner)
