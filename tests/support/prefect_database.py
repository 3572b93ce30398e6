"""An empty database of Prefect: to make one takes a new server half of the time of its start."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

_kept: list[Path] = []


def keep_empty_database() -> None:
    """Copy the database of this process's server, which has just started, for `copy_empty_database`."""
    _kept.append(Path(tempfile.mkdtemp(prefix="prefect-")) / "prefect.db")
    _copy(Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition(":///")[2]), _kept[-1])


def copy_empty_database(home: Path) -> None:
    """Put an empty database into the home of a private server; does nothing where none was kept."""
    if _kept:
        home.mkdir(parents=True, exist_ok=True)
        _copy(_kept[-1], home / "prefect.db")


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as whole, closing(sqlite3.connect(target)) as copy:
        whole.backup(copy)
