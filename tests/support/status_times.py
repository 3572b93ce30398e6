"""Outputs that also fit a copy of their archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from artbank.store.backends import local


@contextmanager
def no_status_times() -> Iterator[None]:
    """Do the block as on a system without status times, which a copy of a file does not keep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_HAS_STATUS_TIME", False)
        yield
