"""A trained bank for all tests of this folder."""

from __future__ import annotations

import pytest

from artbank.store.objects import Store
from tests.support.small_inputs import add_collection, train_all, training


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the bank `novak`."""
    root = tmp_path_factory.mktemp("shelf")
    add_collection(Store.open(str(root / "gallery")), "novak")
    config = training(str(root / "gallery"), str(root / "store"))
    train_all(config)
    return config.store_uri
