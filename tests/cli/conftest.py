"""A gallery and a bank that a command has trained; tests leave them as they are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from artbank.store.objects import Store
from tests.support.commands import TINY, call
from tests.support.small_inputs import add_collection, draw_photo


@pytest.fixture(scope="session")
def world(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery, a store with one bank, trained by the command line, and two photos; not to be changed."""
    root = tmp_path_factory.mktemp("world")
    add_collection(Store.open(str(root / "gallery")), "novak")
    add_collection(Store.open(str(root / "gallery")), "left-out", count=1)
    Store.open(str(root / "photos")).write_many({"a.jpg": draw_photo(1), "roll 1/b.png": draw_photo(2, ".png")})
    ended = call("train", root / "gallery", "--store", root / "store", "--collection", "novak", *TINY)
    assert ended.code == 0 and re.match(r"novak@1 trained in [\d.]+ s of device time\n", ended.out)
    return root


@pytest.fixture
def store(world: Path, tmp_path: Path) -> Path:
    """A copy of the store, which a test may change."""
    return Path(shutil.copytree(world / "store", tmp_path / "store"))
