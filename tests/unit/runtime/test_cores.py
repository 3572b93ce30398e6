"""A process counts the cores that it may use, and its share of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artbank.errors import ConfigError
from artbank.runtime import cores


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the control groups on a machine of 64 cores; this process is in the group `pods/own`."""
    (tmp_path / "groups/pods/own").mkdir(parents=True)
    (tmp_path / "groups/cpu").mkdir()
    (tmp_path / "own").write_text("4:memory:/elsewhere\n0::/pods/own\n")
    monkeypatch.setattr(cores, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(cores, "_OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(cores, "count_nvidia_gpus", lambda: 0)
    monkeypatch.delenv(cores.CODEC_VARIABLE, raising=False)
    return tmp_path / "groups"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 64),
        ({"pods/own/cpu.max": "max 100000"}, 64),
        ({"pods/own/cpu.max": "250000 100000"}, 3),
        ({"pods/cpu.max": "1600000 100000", "pods/own/cpu.max": "max 100000"}, 16),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    ],
)
def test_the_smallest_limit_of_affinity_and_control_groups_holds(
    groups: Path, limits: dict[str, str], expected: int
) -> None:
    for name, text in limits.items():
        (groups / name).write_text(text)
    assert cores.count_cores() == expected


@pytest.mark.parametrize(("num_gpus", "given", "expected"), [(0, "", 64), (8, "", 8), (8, "5", 5), (100, "", 1)])
def test_a_worker_has_its_share_of_the_cores_or_what_it_is_given(
    groups: Path, monkeypatch: pytest.MonkeyPatch, num_gpus: int, given: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(cores.CODEC_VARIABLE, given)
    monkeypatch.setattr(cores, "count_nvidia_gpus", lambda: num_gpus)
    assert cores.count_codec_processes() == expected


@pytest.mark.parametrize(
    ("quota", "given", "expected"),
    [
        ("max", {}, {"OMP_WAIT_POLICY": "PASSIVE"}),
        ("250000", {}, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "3"}),
        ("250000", {"OMP_NUM_THREADS": "2"}, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "2"}),
        ("max", {"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_threads_sleep_while_they_wait_and_are_no_more_than_the_cores_of_a_container(
    groups: Path, monkeypatch: pytest.MonkeyPatch, quota: str, given: dict[str, str], expected: dict[str, str]
) -> None:
    (groups / "pods/own/cpu.max").write_text(f"{quota} 100000")
    monkeypatch.setattr(os, "environ", dict(given))
    cores.share_cores()
    assert os.environ == expected


@pytest.mark.parametrize("start", ["import artbank_prefect.flows", "from artbank_cli.main import main; main()"])
def test_commands_and_flows_share_the_cores_before_they_import_torch(start: str) -> None:
    watch = "import os, sys; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    program = f"import contextlib\nwith contextlib.suppress(SystemExit):\n    {start}\n{watch}"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    words = [sys.executable, "-c", program, "--version"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "PASSIVE", done.stderr


@pytest.mark.parametrize("given", ["0", "-2", "many"])
def test_a_wrong_number_of_processes_is_named(groups: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(cores.CODEC_VARIABLE, given)
    with pytest.raises(ConfigError, match=f"ARTBANK_CODEC_PROCESSES: .* found '{given}'"):
        cores.count_codec_processes()
