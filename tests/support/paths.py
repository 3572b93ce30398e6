"""Folders that tests read: the checkout, and real files that may lie beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL_FILES = ROOT.parent / "shared" / "data"
"""Photos and paintings that are not part of the repository; tests that need them skip without them."""
CRASHES = Path(__file__).parent / "crashes"
"""On the path of a process, makes its decoders crash or hang; see `crashes/sitecustomize.py`."""
