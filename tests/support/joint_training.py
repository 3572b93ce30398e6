"""Several banks in the same batches, and what each comes to alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from artbank.bank.checkpoint import TrainResult
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.train_state import TrainState
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe

RECIPE = BankRecipe(num_tokens=2, max_steps=6, batch_size=3, num_crops=1, resolution_px=32, validate_every=2)
CAPTIONS = (
    ("a house", "a long caption of a lake, with trees, two boats and a tower behind it", None),
    (None, None, None),
    ("a cat", "a dog", "a horse in a field"),
)
TrainAlone = Callable[..., list[TrainResult]]
OF_LOSSES, OF_VECTORS = 1e-5, 1e-3  # of a loss itself; of the spread of a bank's vectors


def show(base: BaseModel, seed: int, captions: Sequence[str | None]) -> tuple[LatentDataset, LatentDataset]:
    pictures = [draw_scene(seed + i, width_px=48, height_px=40).image for i in range(4)]
    return encode_dataset(base, pictures[:3], captions, RECIPE), encode_dataset(
        base, pictures[3:], captions[:1], RECIPE
    )


def open_all(
    base: BaseModel, views: Sequence[tuple[LatentDataset, LatentDataset]], *recipes: BankRecipe
) -> list[TrainState]:
    """Open one training a collection, by the recipes in turn."""
    return [TrainState(base, *own, recipes[i % len(recipes)], f"bank {i}") for i, own in enumerate(views)]


def vary(**values: Any) -> BankRecipe:
    return RECIPE.model_copy(update=values)


def succeed(ends: Sequence[TrainResult | TrainingError]) -> list[TrainResult]:
    assert all(isinstance(end, TrainResult) for end in ends), ends
    return [end for end in ends if isinstance(end, TrainResult)]


def assert_same(found: TrainResult, alone: TrainResult) -> None:
    assert len(found.history.train) == len(alone.history.train)
    assert found.history.train == pytest.approx(alone.history.train, rel=OF_LOSSES)
    assert [step for step, _ in found.history.validation] == [step for step, _ in alone.history.validation]
    losses = [loss for _, loss in alone.history.validation]
    assert [loss for _, loss in found.history.validation] == pytest.approx(losses, rel=OF_LOSSES)
    assert found.history.best[0] == alone.history.best[0]
    assert spread(found.vectors - alone.vectors) < OF_VECTORS * spread(alone.vectors)


def spread(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def open_gates(members: list[TrainState]) -> list[TrainState]:
    """Open the attention's gates, so that gradients flow to all of it."""
    for member in members:
        for parameter in member.bank.parameters():
            if parameter.ndim == 0:
                torch.nn.init.ones_(parameter)
    return members


def watch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of samples of every call of the UNet."""
    sizes: list[int] = []
    predict = BaseModel.predict

    def watch(self: BaseModel, latents: Tensor, timesteps: Tensor, prompts: Tensor, **named: Any) -> Tensor:
        sizes.append(len(latents))
        return predict(self, latents, timesteps, prompts, **named)

    monkeypatch.setattr(BaseModel, "predict", watch)
    return sizes
