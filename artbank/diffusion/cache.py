"""The folder of models that were fetched from stores, or converted from single files, on this machine."""

from __future__ import annotations

import os
from pathlib import Path

HASH_FILE = "checkpoint.sha256"
"""File of a converted folder with the hash of what it was converted from."""


def cache_folder() -> Path:
    """Return the folder: `$ARTBANK_CACHE`, else `~/.cache/artbank`."""
    return Path(os.environ.get("ARTBANK_CACHE") or Path.home() / ".cache/artbank")


def converted_folder() -> Path:
    """Return the folder of the folders that single files were converted to."""
    return cache_folder() / "converted"


def read_hash(folder: Path) -> str | None:
    """Return the hash of what a folder was converted from; None for a folder that artbank did not convert."""
    path = folder / HASH_FILE
    return path.read_text() if folder.parent == converted_folder() and path.is_file() else None
