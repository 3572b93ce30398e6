"""Ranges of shards as flow runs on a work pool: the same pictures, and nothing lost with a process that is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ParameterTypeError
from prefect.flow_engine import run_flow
from pydantic import ValidationError

from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.config import StylizeConfig
from artbank.errors import BaseModelError, ConfigError, ResultsError
from artbank.results import attempts, ledger
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.stylize_shards import stylize_shards
from artbank_prefect.tasks import shard_ranges
from tests.support.flow_runs import artifacts, id_of, log_of, read_run, run
from tests.support.interrupted_runs import NUM_PHOTOS, asked, heed_interrupts, pictures
from tests.support.small_inputs import listing, training

RUNNER = "deployment:stylize-shards/gpu"


@pytest.fixture
def config(trained: Any, photos: str, tmp_path: Path) -> StylizeConfig:
    """A run of four shards, two to a flow run."""
    return asked(photos, str(tmp_path / "output"), trained.store, shards_per_run=2, runner=RUNNER)


@pytest.fixture
def pool(deployed: dict[str, Any], prefect_server: str) -> Iterator[int]:
    """A worker of the pool, for two flow runs at once; its pid."""
    env = os.environ | {"PREFECT_API_URL": prefect_server, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu", "--limit", "2"]
    with subprocess.Popen(command, env=env, preexec_fn=heed_interrupts) as worker:
        yield worker.pid
        worker.terminate()


def parts(config: StylizeConfig) -> list[int]:
    """Return the numbers of the shards that have a part."""
    names = ledger.part_names(Store.open(config.output_uri))
    return [int(name.removesuffix(".parquet").rpartition("-")[2]) for name in names]


def started_by(run_id: UUID) -> list[FlowRun]:
    """Return the flow runs of the deployment that a flow run started, oldest first."""
    wanted = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run_id]}})
    with get_client(sync_client=True) as client:
        return sorted(client.read_flow_runs(flow_run_filter=wanted), key=lambda one: one.created or 0)


def children(worker: int) -> dict[UUID, int]:
    """Return the pids of the processes that a worker has started, by the flow run that each works on."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            named = re.search(rb"PREFECT__FLOW_RUN_ID=([^\0]+)", (process / "environ").read_bytes())
            if parent == worker and named:
                found[UUID(named[1].decode())] = int(process.name)
    return found


def kill_in_the_middle(config: StylizeConfig, worker: int, victims: list[UUID]) -> None:
    """Kill the process that works on the first shard to be begun, without a word to anyone."""
    output = Store.open(config.output_uri)
    while not (begun := attempts.find_unfinished(output)):
        time.sleep(0.01)
    number = int(next(iter(begun)).rpartition("-")[2])
    with get_client(sync_client=True) as client:
        for run_id, pid in children(worker).items():
            first = client.read_flow_run(run_id).parameters["first"]
            if first <= number < first + 2:
                os.kill(pid, signal.SIGKILL)
                victims.append(run_id)


def test_a_process_of_the_pool_that_is_killed_in_its_range_loses_nothing_and_the_pictures_are_the_same(
    config: StylizeConfig, pool: int, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The places are relative, and the worker is in another folder than the run."""
    monkeypatch.setattr(shard_ranges, "POLL_SECONDS", 0.3)
    monkeypatch.chdir(tmp_path)
    uris = {name: os.path.relpath(getattr(config, name)) for name in ("archive_uri", "output_uri", "store_uri")}
    victims: list[UUID] = []
    killer = threading.Thread(target=kill_in_the_middle, args=(config, pool, victims), daemon=True)
    killer.start()
    state = run(stylize_archive, config.model_copy(update=uris))
    killer.join(60)
    assert state.is_completed(), state
    assert pictures(config.output_uri) == undisturbed
    assert len(ledger.read_ledger(Store.open(config.output_uri))) == NUM_PHOTOS
    assert not [name for name in listing(config.output_uri) if "_begun" in name]
    ranges_of = started_by(id_of(state))
    assert [one.id for one in ranges_of if one.state_name == "Crashed"] == victims and len(victims) == 1
    assert [one.state_name for one in ranges_of].count("Completed") == len(ranges_of) - 1 == 2
    assert {one.parameters["first"] + one.parameters["count"] for one in ranges_of} == {2, 4}
    told = [json.dumps(one.parameters) for one in ranges_of]
    assert not any(".jpg" in text or len(text) > 4096 for text in told)
    assert {tag for one in ranges_of for tag in one.tags} == {"style:novak"}
    [progress] = [one for one in artifacts(id_of(state)) if one.type == "progress"]
    assert progress.data == 100.0 and "8 of 8 pictures, 0 failed" in str(progress.description)
    lines = log_of(id_of(state), "failed in round 1")
    assert any(f"{victims[0]}) ended Crashed: Process exited with status code: -9" in line for line in lines)


def test_a_range_is_done_here_and_what_has_a_part_is_left_alone(
    config: StylizeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[int] = []

    def note(*args: Any, num_pictures: int) -> int:
        expected.append(num_pictures)
        return stylize_shard(*args, num_pictures=num_pictures)

    monkeypatch.setattr("artbank.archive.shard.stylize_shard", note)
    plan, _, _ = plan_archive(config)
    assert run(lambda c, **v: stylize_shards(c, plan.run_id, 1, 1, **v), config).is_completed()
    assert parts(config) == [1]
    before = listing(config.output_uri)
    assert run(lambda c, **v: stylize_shards(c, plan.run_id, 0, 3, **v), config).is_completed()
    assert parts(config) == [0, 1, 2]
    after = listing(config.output_uri)
    assert {name: after[name] for name in before} == before
    assert expected == [2, 6, 6, 6], "the one worker's pictures of its range: two of each shard"


def test_a_range_that_cannot_be_done_fails_and_names_its_shards(config: StylizeConfig, place: Any) -> None:
    config = config.model_copy(update={"store_uri": place.store})
    plan, shards, _ = plan_archive(config)
    for path in Path(place.store).glob("banks/novak/*/*/bank.safetensors"):
        path.write_bytes(b"torn")
    state = run(lambda c, **v: stylize_shards(c, plan.run_id, 2, 2, **v), config)
    with pytest.raises(ResultsError, match=f"2 of 2 shards failed: {shards[2].id} .BankError: .*{shards[3].id} .Bank"):
        state.result()
    assert parts(config) == []


def test_a_range_whose_run_has_ended_is_not_begun(config: StylizeConfig, deployed: dict[str, Any]) -> None:
    plan, _, _ = plan_archive(config)
    parameters = {"config": config.model_dump(mode="json"), "run_id": plan.run_id, "first": 0, "count": 2}

    @flow
    def begin() -> UUID:
        return run_deployment("stylize-shards/gpu", parameters=parameters, timeout=0).id

    waiting = read_run(begin())
    state = run_flow(stylize_shards, waiting, parameters, return_type="state")
    assert state.is_cancelled() and "has ended" in str(state.message)
    assert parts(config) == []


def test_a_machine_with_another_base_model_than_the_plan_draws_nothing(config: StylizeConfig) -> None:
    plan, shards, _ = plan_archive(config)
    with pytest.raises(BaseModelError, match=r"base model mini of hash 000000000000 .*, found \w{12}; give"):
        stylize_shard(config, replace(plan, base_model_hash="0" * 64), shards[0])
    assert parts(config) == []


def test_ranges_that_wait_when_their_run_is_stopped_are_cancelled(
    config: StylizeConfig, deployed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    # No worker is there: the run would wait for one. Not `time.sleep` itself, which every thread here uses.
    monkeypatch.setattr(shard_ranges, "time", SimpleNamespace(sleep=stop))
    started: list[UUID] = []

    @flow
    def begin() -> None:
        started.append(UUID(runtime.flow_run.id))
        stylize_archive(config)

    with pytest.raises(KeyboardInterrupt):
        begin()
    [archive_run] = started_by(started[0])
    assert [one.state_name for one in started_by(archive_run.id)] == ["Cancelled", "Cancelled"]


def test_a_deployment_that_is_not_there_is_named(config: StylizeConfig) -> None:
    state = run(stylize_archive, config.model_copy(update={"runner": "deployment:stylize-shards/moon"}))
    with pytest.raises(
        ConfigError, match="deployment:stylize-shards/moon: expected a deployment .* found none; `artbank deploy`"
    ):
        state.result()


def test_collections_are_not_trained_by_a_deployment_of_shards() -> None:
    with pytest.raises(ValidationError, match=r"(?s)runner.*auto\|threads\|dask"):
        training("gallery", "store", runner=RUNNER)


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, 0)])
def test_a_range_of_no_shards_never_starts(config: StylizeConfig, first: int, count: int) -> None:
    with pytest.raises(ParameterTypeError, match="greater than or equal to"):
        stylize_shards(config, "0123", first, count)
