"""Fixtures of the tests of results."""

from __future__ import annotations

from pathlib import Path

import pytest

from artbank.store.objects import Store


@pytest.fixture
def output(tmp_path: Path) -> Store:
    """An empty output."""
    return Store.open(str(tmp_path / "output"))
