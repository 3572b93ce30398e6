"""The wheel, in the folder of a project with packages `flows` and `tasks` of its own: deploying, and a flow run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from artbank.catalog.catalog import Catalog
from artbank.store.objects import Store
from artbank_cli import server_process
from tests.support.flow_runs import read_run
from tests.support.small_inputs import TRAIN, add_collection, training
from tests.support.wheel import build_wheel, call_installed, make_user_project, unpack

_COMMAND = "import sys\nfrom artbank_cli.main import main\nsys.argv = ['artbank', *sys.argv[1:]]\nmain()\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    return unpack(build_wheel(folder), folder / "installed")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[str]:
    """The API of a server without anything on it; the one of other tests may have work pools of the same names."""
    env = os.environ | {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_UI_ENABLED": "0"}
    command = [sys.executable, "-P", server_process.__file__]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        port = process.stdout.readline().strip()
        assert port.isdecimal(), "the server did not start"
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
            yield f"http://127.0.0.1:{port}/api"
        process.stdin.close()  # so it ends


# CI deploys from the checkout (test_deployments.py) and imports from the wheel (tests/unit/test_packaging.py)
@pytest.mark.slow
def test_a_wheel_deploys_and_a_worker_trains_in_the_folder_of_a_project_with_flows_of_its_own(
    own_server: str, installed: Path, tmp_path: Path
) -> None:
    project = make_user_project(tmp_path / "project")
    add_collection(Store.open(str(project / "gallery")), "novak", count=3)
    (project / "artbank.toml").write_text('gallery = "gallery"\nstore = "store"\n')
    done = call_installed(
        installed, project, "-P", "-c", _COMMAND, "deploy", "--only", "training", PREFECT_API_URL=own_server
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name("train-banks/train-banks")
        assert found.entrypoint == "artbank_prefect.flows.train_banks.train_banks"
        assert found.parameters["config"]["gallery_uri"] == "gallery"
        config = training("gallery", "store", recipe=TRAIN.model_copy(update={"max_steps": 1}))
        run = client.create_flow_run_from_deployment(
            found.id, parameters={"config": config.model_dump(mode="json")}, job_variables={}
        )
    worker = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", "gpu", "--run-once"]
    env = os.environ | {"PYTHONPATH": str(installed), "PREFECT_API_URL": own_server}
    ended = subprocess.run(worker, cwd=project, env=env, capture_output=True, text=True)
    state = read_run(run.id).state
    assert state and state.is_completed(), f"{state}\n{ended.stdout}{ended.stderr}"
    assert [bank.version for bank in Catalog(Store.open(str(project / "store"))).banks()] == [1]
