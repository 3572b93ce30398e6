"""Runs the services of compose.yaml as plain processes on loopback ports, with the commands of the file.

What an image brings is taken from the checkout: its ENV from the Dockerfile, its programs from the virtual environment
and PATH. PostgreSQL's image is not ours; Debian's server stands in for it, with the user and password that the
file gives it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support import postgres
from tests.support.paths import ROOT
from tests.support.rgw import free_port

_START_SECONDS, _STOP_SECONDS = 300, 4
_PROGRAMS = {"run-store": str(ROOT / "deployments/store/run.sh"), "python3": sys.executable}


def read_compose(path: Path, values: dict[str, str]) -> dict[str, Any]:
    """Return a compose file with its variables filled in; those without a value get the default of the file.

    Raises:
        ValueError: A variable must have a value and has none.
    """

    def fill(found: re.Match[str]) -> str:
        name, operator, rest = found.groups()
        if value := values.get(name):
            return value
        if operator == ":?":
            raise ValueError(f"{name}: {rest}")
        return rest or ""

    return yaml.safe_load(re.sub(r"\$\{(\w+)(:-|:\?)?([^}]*)\}", fill, path.read_text()))


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of an env file."""
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def image_env() -> dict[str, str]:
    """Return the variables that the Dockerfile sets by ENV."""
    [block] = re.findall(r"(?m)^ENV (PATH=(?:.*\\\n)*.*)$", (ROOT / "Dockerfile").read_text())
    return dict(word.split("=", 1) for word in block.replace("\\\n", " ").split())


@dataclass
class Stack:
    """Services that start one by one, each when its dependencies meet its conditions."""

    services: dict[str, dict[str, Any]]
    folder: Path
    ports: dict[tuple[str, str], int] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        for name, service in self.services.items():
            for port in service.get("expose", []):
                self.ports[name, port] = free_port()
        for path in ("cache", "tmp"):
            (self.folder / path).mkdir()

    def url(self, service: str, port: str) -> str:
        """Return the URL of a port of a service."""
        return f"http://127.0.0.1:{self.ports[service, port]}"

    def up(self) -> None:
        """Start all services, dependencies first."""
        waiting = dict(self.services)
        while waiting:
            ready = [name for name, one in waiting.items() if not set(one.get("depends_on", ())) & waiting.keys()]
            assert ready, f"{', '.join(waiting)} depend on each other"
            for name in ready:
                for other, how in waiting.pop(name).get("depends_on", {}).items():
                    self._wait(other, how["condition"])
                self._start(name)
        for name in self.services:
            if "healthcheck" in self.services[name]:
                self._wait(name, "service_healthy")

    def log(self, name: str) -> str:
        """Return the output of a service."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def down(self) -> None:
        """Terminate all services, kill those that remain after some seconds, and stop the database last."""
        for process in self.running.values():
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for name in list(self.running):
            self.stop(name, max(deadline - time.monotonic(), 0.1))
        self._open.close()

    def stop(self, name: str, seconds: float = _STOP_SECONDS) -> None:
        """Terminate a service, and kill it if it remains after some seconds."""
        process = self.running.pop(name)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service: the image's, overridden by the file's."""
        given = self.services[name].get("environment", {})
        told = (image_env() if "artbank" in self.services[name]["image"] else {}) | given
        # Docker fills in variables after it has read the YAML, so a variable without a value is an empty text.
        texts = {key: "" if value is None else str(value) for key, value in told.items()}
        env = {key: self.substitute(name, text) for key, text in texts.items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        fixed = {
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        return fixed | env | {"PATH": path}

    def substitute(self, name: str, text: str) -> str:
        """Replace the hosts, ports and folders in a text of a service by those of this machine."""
        own = "|".join(port for service, port in self.ports if service == name) or "none"
        hosts = "|".join(self.services)

        def place(found: re.Match[str]) -> str:
            host, port, mine = found.groups()
            if host:
                return f"127.0.0.1:{self.ports[host, port]}"
            return str(self.ports[name, mine]) if mine else "127.0.0.1"

        text = re.sub(rf"\b({hosts}):(\d+)\b|(?<![\w.])({own})(?!\w)|\b0\.0\.0\.0\b", place, text)
        text = re.sub(r"(?<![\w/])/(tmp|cache|var/lib/store)(?![\w-])", lambda found: f"{self.folder}/{found[1]}", text)
        return text.replace("/opt/artbank", str(ROOT))

    def _command(self, name: str, words: list[str]) -> list[str]:
        program, *rest = (self.substitute(name, word) for word in words)
        return [_PROGRAMS.get(program, program), *rest]

    def _start(self, name: str) -> None:
        if name == "postgres":
            env = self.environment(name)
            run = postgres.run_postgres(self.ports[name, "5432"], env["POSTGRES_USER"], env["POSTGRES_PASSWORD"])
            self._open.enter_context(run)
            return
        (self.folder / "var/lib/store").mkdir(parents=True, exist_ok=True)
        command = self._command(name, self.services[name]["command"])
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                cwd=self.folder / "tmp", env=self.environment(name), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _wait(self, name: str, condition: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        process = self.running.get(name)
        while time.monotonic() < deadline:
            if condition == "service_completed_successfully":
                assert process and process.wait(_START_SECONDS) == 0, self.log(name)
                return
            assert process is None or process.poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
            if self.is_healthy(name):
                return
            time.sleep(0.5)
        raise AssertionError(f"{name} is not healthy after {_START_SECONDS} s:\n{self.log(name)[-3000:]}")

    def is_healthy(self, name: str) -> bool:
        """Run the healthcheck of a service once."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        command = self._command(name, words)
        command[0] = postgres.find_program(command[0]) or command[0]
        return subprocess.run(command, env=self.environment(name), capture_output=True).returncode == 0


@contextlib.contextmanager
def compose_up(path: Path, values: dict[str, str], folder: Path) -> Iterator[Stack]:
    """Run the services of a compose file until the block ends."""
    stack = Stack(read_compose(path, values)["services"], folder)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
