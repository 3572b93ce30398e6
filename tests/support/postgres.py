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
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.rgw import free_port, wait_for_port
from tests.support.waiting import wait_for

_USER = "postgres"  # PostgreSQL refuses to run as root


def find_program(name: str) -> str | None:
    """Return the path of a PostgreSQL program, which Debian keeps out of PATH; None if it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return next((str(path) for folder in reversed(folders) if (path := folder / name).exists()), shutil.which(name))


@contextlib.contextmanager
def run_postgres(port: int | None = None, user: str = _USER, password: str = "") -> Iterator[str]:
    """Run a server with an empty database `prefect`; yields its SQLAlchemy URL with the driver asyncpg.

    Args:
        port: Loopback port; a free one by default.
        user: Owner of the database.
        password: Password of the user; without one, any local connection is accepted.
    """
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), port or free_port()
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam(_USER).pw_uid, -1)
        (folder / "password").write_text(password)
        access = ("-A", "scram-sha-256", f"--pwfile={folder}/password") if password else ("-A", "trust")
        _call("initdb", *access, "-U", user, "-D", f"{folder}/data", "--no-sync", cwd=folder)
        options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
        with (folder / "log").open("wb") as log:
            command = [*_as_user(), str(find_program("postgres")), "-D", f"{folder}/data", *options, "-c", "fsync=off"]
            server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for_port(port, server, folder / "log")
            asking = [str(find_program("pg_isready")), "-h", "127.0.0.1", "-p", str(port), "-q"]
            wait_for(lambda: subprocess.run(asking).returncode == 0)  # at first it answers that it is starting
            words = ("-h", "127.0.0.1", "-p", str(port), "-U", user, "prefect")
            _call("createdb", *words, cwd=folder, env=os.environ | {"PGPASSWORD": password})
            secret = f":{password}" if password else ""
            yield f"postgresql+asyncpg://{user}{secret}@127.0.0.1:{port}/prefect"
        finally:
            server.terminate()
            server.wait(30)


def _call(program: str, *words: str, cwd: Path, env: Mapping[str, str] | None = None) -> None:
    command = [*_as_user(), str(find_program(program)), *words]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")


def _as_user() -> list[str]:
    ids = pwd.getpwnam(_USER) if os.geteuid() == 0 else None
    lasting = ["setpriv", "--pdeathsig", "TERM"]
    return lasting if ids is None else [*lasting, f"--reuid={ids.pw_uid}", f"--regid={ids.pw_gid}", "--clear-groups"]
