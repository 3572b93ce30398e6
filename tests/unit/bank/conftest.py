"""Three collections, and the banks that are trained of each alone."""

from __future__ import annotations

from functools import cache

import pytest

from artbank.bank.checkpoint import TrainResult
from artbank.bank.dataset import LatentDataset
from artbank.bank.train_state import TrainState
from artbank.diffusion.base_model import BaseModel
from artbank.recipes import BankRecipe
from tests.support.bank_training import train_one
from tests.support.joint_training import CAPTIONS, TrainAlone, show


@pytest.fixture(scope="session")
def views(base: BaseModel) -> list[tuple[LatentDataset, LatentDataset]]:
    """Learned and held-out views of three collections."""
    return [show(base, 80_000_000 + 10 * number, said) for number, said in enumerate(CAPTIONS)]


@pytest.fixture(scope="session")
def train_alone(base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]]) -> TrainAlone:
    """Trains one bank a collection, each alone; by the recipes in turn."""

    @cache
    def train(number: int, recipe: BankRecipe) -> TrainResult:
        return train_one(TrainState(base, *views[number], recipe, "alone"))

    return lambda *recipes: [train(i, recipes[i % len(recipes)]) for i in range(len(views))]
