"""Fixtures of the tests of galleries."""

from __future__ import annotations

from pathlib import Path

import pytest

from artbank.store.objects import Store
from tests.support.patchworks import paint, save


@pytest.fixture
def gallery(tmp_path: Path) -> Store:
    """A gallery with one collection, `monet`, of three artworks."""
    store = Store.open(str(tmp_path))
    store.write_many({f"monet/{number}.png": save(paint(number)) for number in range(3)})
    return store
