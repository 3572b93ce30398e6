"""`artbank doctor`, as it is called, and what it says of a Prefect server."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

from artbank.doctor.checks import CheckResult
from artbank.store.objects import Store
from artbank_cli import server
from artbank_cli.doctor import to_lines, to_totals
from artbank_cli.main import main
from tests.support import rgw
from tests.support.paths import ROOT
from tests.support.small_inputs import add_collection

SECRET = "a-wrong+secret/that-nobody+tells"


def doctor(*words: str | Path, **env: str) -> tuple[int, str, str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "artbank_cli.main", "doctor", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | env, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


def test_an_installation_that_can_do_the_work_ends_in_0(
    prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_collection(Store.open(str(tmp_path / "gallery")), "novak", count=1)
    words = ["--gallery", str(tmp_path / "gallery"), "--store", str(tmp_path / "store"), "--json"]
    monkeypatch.setattr(sys, "argv", ["artbank", "doctor", *words])
    with patch.dict(os.environ), pytest.raises(SystemExit) as ended:
        main()
    told = json.loads(capsys.readouterr().out)
    assert (ended.value.code, told["num_problems"]) == (0, 0), told
    subjects = list(dict.fromkeys(row["subject"] for row in told["verdicts"]))
    assert subjects == [
        *("packages", "device", "base model", "scorer", "memory", "disks", "gallery", "store", "places", "Prefect")
    ]
    assert set(told["verdicts"][0]) == {"subject", "level", "text", "advice"}
    assert not (tmp_path / "store").exists()


@pytest.mark.faults
def test_what_is_wrong_is_told_within_the_time_and_without_secrets(tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
    env = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
        "AWS_ACCESS_KEY_ID": "known",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "PREFECT_API_URL": f"http://me:{SECRET.replace('/', '')}@127.0.0.1:{rgw.free_port()}/api",
        "PREFECT_API_AUTH_STRING": f"me:{SECRET}",
        "HF_TOKEN": f"hf_{SECRET}",
    }
    start = time.monotonic()
    code, out, err = doctor("--store", "s3://bucket/store", "--output", f"s3://a:{SECRET}@b", "--seconds", "20", **env)
    assert code == 1 and time.monotonic() - start < 150  # the client itself would try for longer
    assert "store\n  problem  no answer within 20 s\n" in out
    assert re.search(r"^Prefect\n  problem  http://\*\*\*@127.0.0.1:\d+/api does not answer", out, re.MULTILINE)
    assert re.search(r"^output\n  problem  s3://\*\*\*@b holds credentials", out, re.MULTILINE)
    assert re.search(r"^\d problems", out.splitlines()[-1])
    assert "nobody" not in out + err


def test_a_check_that_never_ends_does_not_keep_the_process() -> None:
    code = (
        "import threading\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "from artbank.config import RunConfig\nfrom artbank.doctor.checks import Check\n"
        "from artbank_cli import doctor\n"
        "def hang():\n    with ThreadPoolExecutor() as pool: pool.submit(threading.Event().wait).result()\n"
        "doctor.list_checks = lambda *_: [Check('disk', hang, may_hang=True)]\n"
        "raise SystemExit(doctor.examine(RunConfig(), {}, seconds=0.1, as_json=False))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and "no answer within 0.1 s" in done.stdout


def test_a_wrong_option_ends_in_2() -> None:
    code, out, err = doctor("--device", "gpu")
    assert (code, out) == (2, "") and err.startswith("artbank: --device gpu: ")


def test_lines_are_short_and_advice_stands_below_what_it_is_about() -> None:
    found = [CheckResult("problem", "word " * 40, "do " * 50), CheckResult("OK", "fine")]
    lines = to_lines("store", found).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "store" and lines[1].startswith("  problem  word") and lines[2].startswith("           word")
    assert lines[4].startswith("           -> do")
    assert to_totals({"store": found, "disks": []}) == "1 problem"
    assert to_totals({"store": found[1:]}) == "everything is fine"


def told(verdicts: Any) -> dict[str, str]:
    return {verdict.text: verdict.level for verdict in verdicts}


def level(found: dict[str, str], words: str) -> str:
    [matching] = [level for text, level in found.items() if words in text]
    return matching


def test_an_empty_server_lacks_what_deploying_puts_there(prefect_server: str) -> None:
    found = told(server.check_server(10))
    assert level(found, "is Prefect") == "OK" and prefect_server in next(iter(found))
    assert set(found.values()) <= {"OK", "warning"}
    for name in (*server.POOLS, *server.DEPLOYMENTS, "artbank-lost-runs"):
        assert any(name in text for text in found)
    assert level(found, "no one is notified of failed runs and other alarms") == "warning"


def test_a_pool_without_workers_is_told(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = "doctors"  # the names of the file are other tests'
    monkeypatch.setattr(server, "POOLS", (pool,))
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        assert level(told(server.check_server(10)), f"work pool {pool} (process) has no worker online") == "warning"
        client.send_worker_heartbeat(pool, "a worker")
        assert level(told(server.check_server(10)), f"work pool {pool} (process): 1 worker online") == "OK"
        client.update_work_pool(pool, WorkPoolUpdate(is_paused=True))
        assert level(told(server.check_server(10)), f"work pool {pool} is paused") == "warning"
        client.delete_work_pool(pool)


def test_a_server_that_is_not_there_is_a_problem_and_none_at_all_is_not() -> None:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{rgw.free_port()}/api"}):
        [lost] = server.check_server(2)
    assert lost.level == "problem" and "does not answer" in lost.text
    with temporary_settings({PREFECT_API_URL: None, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}):
        assert [verdict.level for verdict in server.check_server(2)] == ["OK"]
    with temporary_settings({PREFECT_API_URL: None, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}):
        assert [verdict.level for verdict in server.check_server(2)] == ["problem"]


@pytest.mark.parametrize(
    ("found", "level"), [("3.9.1", "OK"), ("3.9.0", "warning"), ("3.8.8", "problem"), ("2.20.1", "problem")]
)
def test_client_and_server_should_be_of_one_version(found: str, level: str) -> None:
    assert server.assess_version("http://host/api", "3.9.1", found).level == level


def test_the_doctor_asks_for_what_is_deployed() -> None:
    deployed = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())["deployments"]
    flows = {entry["name"]: entry["entrypoint"].rpartition(".")[2].replace("_", "-") for entry in deployed}
    assert {f"{flow}/{name}" for name, flow in flows.items()} == set(server.DEPLOYMENTS)
    pools = {entry["work_pool"]["name"] for entry in deployed} - {"{{ $ARTBANK_TRAIN_POOL }}"}  # one of the two
    assert pools == set(server.POOLS)
    automations = [yaml.safe_load(path.read_text()) for path in (ROOT / "deployments/automations").glob("*.yaml")]
    assert {entry["name"] for entry in automations} == set(server.AUTOMATIONS)
