"""compose.yaml brought up as processes: a bank and pictures come out of its store, and every kind of pool is taken."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image
from s3fs import S3FileSystem

from artbank_cli.deployment.files import read_templates
from tests.support import postgres, rgw
from tests.support.compose import ROOT, Stack, compose_up, read_env
from tests.support.small_inputs import STYLIZE, TRAIN, draw_artwork, draw_photo

NUM_PHOTOS = 3
_PATIENCE_SECONDS = 300


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of an env file as `make env` writes it."""
    path = tmp_path_factory.mktemp("env") / ".env"
    new_env = [sys.executable, ROOT / "deployments/new_env.py", ROOT / ".env.example", path]
    subprocess.run(new_env, check=True)
    return read_env(path) | {"STORE_BYTES": str(4 << 30)}


@pytest.fixture(scope="module")
def stack(values: dict[str, str], tmp_path_factory: pytest.TempPathFactory, require_programs: Any) -> Iterator[Stack]:
    """All services, well."""
    require_programs(rgw.missing_programs() + [name for name in ("initdb",) if postgres.find_program(name) is None])
    with compose_up(ROOT / "compose.yaml", values, tmp_path_factory.mktemp("compose")) as stack:
        yield stack


@pytest.fixture(scope="module")
def api(stack: Stack, values: dict[str, str]) -> Iterator[httpx.Client]:
    """The API of its Prefect server."""
    user = ("artbank", values["PREFECT_PASSWORD"])
    with httpx.Client(base_url=f"{stack.url('server', '4200')}/api", auth=user, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def bucket(stack: Stack, values: dict[str, str]) -> S3FileSystem:
    """Its S3 store, with a collection `monet` and some photos."""
    key, secret = values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"]
    fs = S3FileSystem(key=key, secret=secret, endpoint_url=stack.url("store", "7480"), use_listings_cache=False)
    fs.pipe({f"museum/gallery/monet/{seed}.png": draw_artwork(seed) for seed in range(3)})
    fs.pipe({f"museum/photos/{seed}.jpg": draw_photo(seed) for seed in range(NUM_PHOTOS)})
    return fs


def run_deployment(stack: Stack, api: httpx.Client, name: str, recipe: dict[str, Any]) -> None:
    """Have a deployment run as it stands but for a smaller recipe, and wait for its end."""
    found = api.get(f"/deployments/name/{name}").raise_for_status().json()
    config = found["parameters"]["config"] | {"recipe": recipe}
    asked = {"parameters": {"config": config}}
    run = api.post(f"/deployments/{found['id']}/create_flow_run", json=asked).raise_for_status().json()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (state := api.get(f"/flow_runs/{run['id']}").json()["state"])["type"] not in (
        "COMPLETED",
        "FAILED",
        "CRASHED",
    ):
        assert time.monotonic() < deadline, state
        time.sleep(0.3)
    assert state["type"] == "COMPLETED", stack.log("worker")[-5000:]


def deploy(stack: Stack, kind: str) -> str:
    """Put everything on the server anew, with pools of another kind and no Dask cluster; gives what that says."""
    command = [sys.executable, "-m", "artbank_cli.main", "deploy", "--pools", kind, "--gpus", "3"]
    without = ("ARTBANK_DASK", "ARTBANK_HOME")
    env = {name: value for name, value in stack.environment("init").items() if name not in without}
    done = subprocess.run(command, env=env, cwd=stack.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read_pools(api: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return the server's work pools by name."""
    return {pool["name"]: pool for pool in api.post("/work_pools/filter", json={}).raise_for_status().json()}


# CI starts the services, deploys on them, and runs both flows on clusters of its own (tests/faults/flows)
@pytest.mark.slow
def test_a_bank_is_trained_and_photos_are_stylized_by_the_dask_worker(
    stack: Stack, api: httpx.Client, bucket: S3FileSystem
) -> None:
    run_deployment(stack, api, "train-banks/train-banks", TRAIN.model_copy(update={"max_steps": 1}).model_dump())
    assert len(bucket.find("museum/store/catalog/banks/collection=monet")) == 1
    run_deployment(stack, api, "stylize-archive/stylize-archive", STYLIZE.model_dump())
    pictures = [path for path in bucket.find("museum/art/monet") if path.endswith(".jpg")]
    assert len(pictures) == NUM_PHOTOS
    assert {Image.open(io.BytesIO(bucket.cat_file(path))).format for path in pictures} == {"JPEG"}
    assert stack.log("worker").count("Connecting to an existing Dask cluster") == 2


def test_init_has_created_what_the_flows_need(stack: Stack, api: httpx.Client) -> None:
    assert {name: (pool["type"], pool["concurrency_limit"]) for name, pool in read_pools(api).items()} == {
        "artbank": ("process", None), "gpu": ("process", 1),
    }  # fmt: skip
    assert "bucket museum: created" in stack.log("init")
    assert "artbank-lost-runs" in [one["name"] for one in api.post("/automations/filter", json={}).json()]


def test_nobody_without_the_password_is_let_in(stack: Stack) -> None:
    assert httpx.post(f"{stack.url('server', '4200')}/api/flows/filter", json={}).status_code == 401


def test_all_is_deployed_on_pools_of_other_kinds_and_one_that_is_there_is_left(stack: Stack, api: httpx.Client) -> None:
    stack.stop("worker")  # it would create its pool anew
    for name in read_pools(api):
        api.delete(f"/work_pools/{name}").raise_for_status()
    template = read_templates("docker", {"ARTBANK_IMAGE": "artbank:of-mine"})["artbank"]
    pool = {"name": "artbank", "type": "docker", "base_job_template": template}
    api.post("/work_pools/", json=pool).raise_for_status()
    told = deploy(stack, "kubernetes")
    assert "work pool artbank: is of kind docker and left as it is" in told
    assert "work pool gpu: created, of kind kubernetes" in told
    pools = read_pools(api)
    assert pools["artbank"]["base_job_template"] == template
    assert pools["gpu"]["base_job_template"]["variables"]["properties"]["image"]["default"] == "artbank:cpu"
    assert pools["gpu"]["concurrency_limit"] == 3
    found = {one["name"]: one for one in api.post("/deployments/filter", json={}).json()}
    assert found["train-banks"]["work_pool_name"] == "gpu"  # it trains in its own process
    assert found["stylize-archive"]["parameters"]["config"]["runner"] == "deployment:stylize-shards/gpu"
    assert {one["pull_steps"][0].popitem()[1]["directory"] for one in found.values()} == {"/opt/artbank"}
