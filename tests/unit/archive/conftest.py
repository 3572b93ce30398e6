"""A trained bank and some photos for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from artbank.store.objects import Store
from tests.support.small_inputs import add_collection, draw_photo, train_all, training


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the bank `novak`."""
    root = tmp_path_factory.mktemp("shelf")
    add_collection(Store.open(str(root / "gallery")), "novak")
    config = training(str(root / "gallery"), str(root / "store"))
    train_all(config)
    return config.store_uri


@pytest.fixture
def photos(tmp_path: Path) -> Store:
    """An archive of six photos, small files on disk."""
    store = Store.open(str(tmp_path / "photos"))
    store.write_many({f"{seed}.jpg": draw_photo(seed) for seed in range(6)})
    return store
