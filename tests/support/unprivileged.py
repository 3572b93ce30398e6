"""A folder, and a user who may not do everything: root may read what no mode allows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Do the block as a user without privileges, if this process has some."""
    if os.geteuid() != 0:
        yield
        return
    "".encode("utf-16-be")  # nobody may not be allowed to read Python's own folder, where this codec is
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that every user may read and write; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        try:
            yield folder
        finally:
            for parent, names, _ in os.walk(folder):  # else nobody but root could delete it
                for inner in names:
                    Path(parent, inner).chmod(0o777)
