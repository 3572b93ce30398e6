"""The folder of models that were fetched from stores, or converted, on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder: `$ARTBANK_CACHE`, else `~/.cache/artbank`."""
    return Path(os.environ.get("ARTBANK_CACHE") or Path.home() / ".cache/artbank")
