"""The private Prefect server of a command: it starts with the command, serves nobody else, and ends with it."""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import tempfile
import time
from typing import IO

from prefect.context import refresh_global_settings_context
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_HOME,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    get_current_settings,
)

from artbank.errors import ServerError
from artbank.runtime.processes import shield_children_from_signals
from artbank_cli import server_process
from artbank_cli.environment import is_debug

_END_SECONDS = 10.0  # longer than the process's own grace
_DRAIN_SECONDS = 5.0
_SERVER_SETTINGS = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
_DATABASE_ADVICE = {
    "Can't locate revision": "another version of Prefect wrote its database; set PREFECT_HOME to another folder",
    "unable to open database file": "make the folder writable, or set PREFECT_HOME to one that is",
    "readonly database": "make the folder writable, or set PREFECT_HOME to one that is",
    "is full": "free space on that disk, or set PREFECT_HOME to a folder on another one",
    "malformed": "its database is damaged; delete prefect.db there, or set PREFECT_HOME to another folder",
    "not a database": "its database is damaged; delete prefect.db there, or set PREFECT_HOME to another folder",
}


class PrivateServer:
    """Takes the place of the server that Prefect starts by itself.

    Prefect's own server dies of signals that are meant for the command, outlives a command that was killed, and keeps
    the command waiting if it ends at its start. To start it, the command would also have to import it, which
    takes seconds. So Prefect is given the address of this one, as of any other.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, wait until it answers, and let Prefect use it until this process ends.

        Raises:
            ServerError: It ended, or did not answer in time.
        """
        seconds = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
        atexit.register(self.stop)
        with tempfile.TemporaryFile() as errors:
            self._process = _start_process(None if is_debug() else errors)
            try:
                port = _await_port(self._process, seconds, errors)
            except BaseException:
                self._end()
                raise
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        os.environ["PREFECT_UI_URL"] = ""  # it has no pages
        refresh_global_settings_context()

    def stop(self) -> None:
        """Send what Prefect still has to report, and end the server; does nothing if it has ended."""
        if self._process is not None and self._process.poll() is None:
            for service in (APILogWorker, EventsWorker):
                service.drain_all(timeout=_DRAIN_SECONDS)
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start_process(errors: IO[bytes] | None) -> subprocess.Popen[bytes]:
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    with shield_children_from_signals():
        return subprocess.Popen(
            [sys.executable, "-P", server_process.__file__],
            env={**os.environ, **_SERVER_SETTINGS, **settings},
            stdin=subprocess.PIPE,  # the server ends when it closes
            stdout=subprocess.PIPE,
            stderr=errors,
        )


def _await_port(process: subprocess.Popen[bytes], seconds: float, errors: IO[bytes]) -> int:
    """Wait until the server serves requests; returns its port."""
    assert process.stdout is not None
    start = time.monotonic()
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    line = process.stdout.readline() if ready else b""
    if line.strip().isdigit():
        return int(line)
    if not ready:
        raise ServerError(
            f"expected the private Prefect server to answer within {seconds:g} s, it did not; run the command again "
            "when the machine is less busy, or raise PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
        )
    code = process.wait()
    reason = _last_line(errors)
    raise ServerError(
        f"the private Prefect server ended {time.monotonic() - start:.0f} s after its start, with exit code {code}: "
        f"{reason}; its home is {PREFECT_HOME.value()}: {_advise(reason)}"
    )


def _last_line(errors: IO[bytes]) -> str:
    """Return the error in the output of a server: the last line that names one."""
    errors.seek(0)
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line.partition(":")[0] and not line.startswith("File ")]
    return (named or lines or ["no reason was given"])[-1]


def _advise(reason: str) -> str:
    for sign, advice in _DATABASE_ADVICE.items():
        if sign in reason:
            return advice
    return "--debug shows all of its output"
