"""A PostgreSQL server for the tests, from Debian's package: a new cluster in a folder of its own, on a loopback port.

`tests/install-services.sh` installs it. Up in about three seconds; it and its data are gone with the `with` block.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rgw import free_port, wait_for_port

_USER = "postgres"  # PostgreSQL refuses to run as root


def find_program(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, which Debian keeps out of PATH; None where it is not there."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return next((str(path) for folder in reversed(folders) if (path := folder / name).exists()), shutil.which(name))


@contextlib.contextmanager
def run_postgres() -> Iterator[str]:
    """Run a server with an empty database `prefect`; gives its URL as SQLAlchemy takes it, with the driver asyncpg."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam(_USER).pw_uid, -1)
        _call("initdb", "-A", "trust", "-U", _USER, "-D", f"{folder}/data", "--no-sync", cwd=folder)
        options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
        with (folder / "log").open("wb") as log:
            command = [*_as_user(), str(find_program("postgres")), "-D", f"{folder}/data", *options, "-c", "fsync=off"]
            server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for_port(port, server, folder / "log")
            _call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", _USER, "prefect", cwd=folder)
            yield f"postgresql+asyncpg://{_USER}@127.0.0.1:{port}/prefect"
        finally:
            server.terminate()
            server.wait(30)


def _call(program: str, *words: str, cwd: Path) -> None:
    done = subprocess.run([*_as_user(), str(find_program(program)), *words], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")


def _as_user() -> list[str]:
    ids = pwd.getpwnam(_USER) if os.geteuid() == 0 else None
    lasting = ["setpriv", "--pdeathsig", "TERM"]
    return lasting if ids is None else [*lasting, f"--reuid={ids.pw_uid}", f"--regid={ids.pw_gid}", "--clear-groups"]
