from __future__ import annotations

import asyncio
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from drawn import TRAIN, add_collection, training
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import PrefectHTTPStatusError
from prefect.workers.process import ProcessWorker
from runs import log_of, read_run

from artbank.catalog import Catalog
from artbank.config import StylizeConfig, TrainConfig
from artbank.storage import Store

ROOT = Path(__file__).parents[2]
FILE = "deployments/prefect.yaml"
CONFIGS = {"train-banks": TrainConfig, "stylize-archive": StylizeConfig}
PLACES = {
    "ARTBANK_HOME": str(ROOT),
    "ARTBANK_GALLERY": "s3://art/gallery",
    "ARTBANK_STORE": "s3://art/store",
    "ARTBANK_PHOTOS": "s3://art/photos",
    "ARTBANK_OUTPUT": "s3://art/output",
    "ARTBANK_STYLE": "monet",
}


def deployments() -> dict[str, dict[str, Any]]:
    text = re.sub(r"\{\{ \$(\w+) \}\}", lambda found: PLACES[found[1]], (ROOT / FILE).read_text())
    return {entry["name"]: entry for entry in yaml.safe_load(text)["deployments"]}


def read_flow(entry: dict[str, Any]) -> Flow[Any, Any]:
    path, name = entry["entrypoint"].split(":")
    assert (ROOT / path).is_file()
    return getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)


@pytest.fixture(scope="module")
def deployed(_server: None, prefect_server: str) -> Iterator[dict[str, Any]]:
    """Both flows on the pool of the file, put there by Prefect's own command; ids by name."""
    entries = deployments()
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="artbank", type="process"))
        command = ["-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", FILE]
        env = os.environ | PLACES | {"PREFECT_API_URL": prefect_server}
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        found = {name: client.read_deployment_by_name(f"{read_flow(entries[name]).name}/{name}") for name in entries}
        yield found


@pytest.mark.parametrize("name", CONFIGS)
def test_a_deployment_names_a_flow_that_is_there(name: str) -> None:
    found = read_flow(deployments()[name])
    assert isinstance(found, Flow) and found.name == name


@pytest.mark.parametrize("name", CONFIGS)
def test_the_parameters_of_a_deployment_are_those_of_its_flow(name: str) -> None:
    entry = deployments()[name]
    config = read_flow(entry).validate_parameters(entry["parameters"])["config"]
    assert isinstance(config, CONFIGS[name])
    assert config.store_uri == PLACES["ARTBANK_STORE"]


def test_the_file_has_both_flows_and_every_place_comes_from_the_environment() -> None:
    assert deployments().keys() == CONFIGS.keys()
    assert set(re.findall(r"\$(ARTBANK_\w+)", (ROOT / FILE).read_text())) == PLACES.keys()


def test_prefects_own_command_deploys_them(deployed: dict[str, Any]) -> None:
    assert {name: one.parameters for name, one in deployed.items()} == {
        name: entry["parameters"] for name, entry in deployments().items()
    }
    assert {(one.work_pool_name, one.concurrency_options.collision_strategy) for one in deployed.values()} == {
        ("artbank", "ENQUEUE")
    }
    assert [schedule.schedule.cron for schedule in deployed["train-banks"].schedules] == ["0 2 * * *"]


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
    assert any(line.startswith("artbank.training: step 1") for line in log_of(run.id, "registered novak@1"))
