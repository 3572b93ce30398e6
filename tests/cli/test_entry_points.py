"""The ways to start the command: its program, and `python -m`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from artbank import __version__


def test_the_command_itself_tells_what_it_can_do() -> None:
    done = subprocess.run([Path(sys.executable).with_name("artbank"), "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(command in done.stdout for command in ("train", "stylize", "verify", "banks", "site", "export", "demo"))


def test_a_python_that_is_named_runs_the_command() -> None:
    def run_module(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", name, "--version"], capture_output=True, text=True)

    done = run_module("artbank_cli")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"artbank {__version__}\n", "")
    core = run_module("artbank")
    assert (core.returncode, core.stdout) == (2, "") and "`python -m artbank_cli`" in core.stderr
