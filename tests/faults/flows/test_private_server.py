"""The private server of a command: what it needs to start, and what is said where that is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_OWN = ("HOME", "PREFECT_HOME", "PREFECT_API_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")

Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Runs `artbank train` on a broken artwork with a private server, and some variables of the environment."""
    (tmp_path / "gallery/novak").mkdir(parents=True)
    (tmp_path / "gallery/novak/a.jpg").write_bytes(b"1")
    root = Path(__file__).parents[3]

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name not in _OWN}
        env |= {"HOME": str(tmp_path), "PYTHONPATH": str(root), **environment}
        command = [sys.executable, "-m", "artbank_cli.main", "train", "gallery", "--store", "store"]
        return subprocess.run(command, capture_output=True, env=env, cwd=tmp_path, text=True)

    return run


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr and done.stderr.count("artbank: ") == 1
    return done.stderr.splitlines()[-1]


# `tests/cli/test_errors.py` tests each of these conditions by itself.
@pytest.mark.slow
def test_a_home_that_cannot_be_written_and_dead_proxies_do_no_harm(start: Start) -> None:
    done = start(HOME="/proc/nohome", **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"))
    assert done.returncode == 1 and "1 of 1 collections failed" in last_line(done)  # the flow itself has run


def test_a_server_that_ends_at_its_start_is_one_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect/prefect.db").write_bytes(b"this is no database, but long enough to be taken for one" * 100)
    done = start()
    line = last_line(done)
    assert done.returncode == 1 and line.startswith("artbank: the private Prefect server ended ")
    assert "file is not a database" in line and "delete prefect.db there" in line
