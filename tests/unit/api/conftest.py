"""A bank that the API trained once; tests leave it and its folder as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from artbank.store.objects import Store
from tests.support.small_inputs import STYLIZE, TRAIN, add_collection, draw_photo

if TYPE_CHECKING:
    from artbank.api.trained_bank import TrainedBank

TRAINING: dict[str, Any] = {**TRAIN.model_dump(include=TRAIN.model_fields_set), "num_samples": 1, "num_milestones": 0}
DRAWING: dict[str, Any] = STYLIZE.model_dump(include=STYLIZE.model_fields_set)


@pytest.fixture(scope="session")
def artworks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of paintings."""
    root = tmp_path_factory.mktemp("paintings")
    add_collection(Store.open(str(root)), "novak")
    return root / "novak"


@pytest.fixture(scope="session")
def bank(artworks: Path) -> TrainedBank:
    """The bank of `artworks`."""
    import artbank

    return artbank.train(artworks, **TRAINING)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(draw_photo(0))
    return path
