from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.workers.process import ProcessWorker

from artbank.catalog.catalog import Catalog
from artbank.config import StylizeConfig, TrainConfig, WatchConfig
from artbank.store.objects import Store
from tests.support.flow_runs import log_of, read_run
from tests.support.prefect_yaml import FILE, PLACES, ROOT, deployments, read_flow
from tests.support.small_inputs import TRAIN, add_collection, training

CONFIGS = {"train-banks": TrainConfig, "watch-gallery": WatchConfig, "stylize-archive": StylizeConfig}
FLOWS = {**{name: name for name in CONFIGS}, "gpu": "stylize-shards"}


@pytest.mark.parametrize("name", FLOWS)
def test_a_deployment_names_a_flow_that_is_there(name: str) -> None:
    found = read_flow(deployments()[name])
    assert isinstance(found, Flow) and found.name == FLOWS[name]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_parameters_of_a_deployment_are_those_of_its_flow(name: str) -> None:
    entry = deployments()[name]
    config = read_flow(entry).validate_parameters(entry["parameters"])["config"]
    assert isinstance(config, CONFIGS[name])
    assert config.store_uri == PLACES["ARTBANK_STORE"]


def test_the_file_has_all_flows_and_every_place_comes_from_the_environment() -> None:
    assert deployments().keys() == FLOWS.keys()
    assert set(re.findall(r"\$(ARTBANK_\w+)", (ROOT / FILE).read_text())) == PLACES.keys()


def test_prefects_own_command_deploys_them(deployed: dict[str, Any]) -> None:
    assert {name: one.parameters for name, one in deployed.items()} == {
        name: entry.get("parameters", {}) for name, entry in deployments().items()
    }
    assert {deployed[name].concurrency_options.collision_strategy for name in CONFIGS} == {"ENQUEUE"}
    assert {name: one.work_pool_name for name, one in deployed.items()} == {
        **dict.fromkeys(CONFIGS, "artbank"), "gpu": "gpu",
    }  # fmt: skip
    assert deployed["gpu"].global_concurrency_limit is None  # as many at once as the pool's workers take
    assert [schedule.schedule.cron for schedule in deployed["train-banks"].schedules] == ["0 2 * * *"]
    assert [one.active for one in deployed["watch-gallery"].schedules] == [False]


def test_no_upload_is_missed_between_two_runs_that_watch() -> None:
    entry = deployments()["watch-gallery"]
    [trigger] = entry["triggers"]
    assert trigger["within"] <= entry["parameters"]["config"]["quiet_seconds"]


def test_what_an_event_trains_is_trained_as_the_schedule_would() -> None:
    entry = deployments()["train-banks"]
    [trigger] = entry["triggers"]
    given = trigger["parameters"]["config"]
    assert given.pop("collections") == "{{ event.payload.collections }}"
    assert given == entry["parameters"]["config"]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"max_steps": 0}, r"max_steps.*0 is less than the minimum of 1"),
        ({"attention": "some"}, r"attention.*'some' is not one of \['ssam', 'self', 'released', 'none'\]"),
        ({"max_step": 5}, r"'max_step' was unexpected"),
    ],
)
def test_a_wrong_parameter_is_refused_before_there_is_a_run(
    deployed: dict[str, Any], recipe: dict[str, Any], message: str
) -> None:
    config = {"gallery_uri": "gallery", "store_uri": "store", "recipe": recipe}
    with get_client(sync_client=True) as client, pytest.raises(PrefectHTTPStatusError) as refused:
        client.create_flow_run_from_deployment(deployed["train-banks"].id, parameters={"config": config})
    assert refused.value.response.status_code == 409
    assert re.search(message, refused.value.response.json()["detail"])


def test_a_worker_of_the_pool_trains_a_bank(deployed: dict[str, Any], tmp_path: Path) -> None:
    add_collection(Store.open(str(tmp_path / "gallery")), "novak", count=3)
    config = training(
        str(tmp_path / "gallery"), str(tmp_path / "store"), recipe=TRAIN.model_copy(update={"max_steps": 1})
    )
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(
            deployed["train-banks"].id, parameters={"config": config.model_dump(mode="json")}
        )
    asyncio.run(ProcessWorker(work_pool_name="artbank").start(run_once=True))
    state = read_run(run.id).state
    assert state and state.is_completed(), state
    assert [bank.version for bank in Catalog(Store.open(config.store_uri)).banks()] == [1]
    assert any(line.startswith("artbank.bank.train_state: step 1") for line in log_of(run.id, "registered novak@1"))
