"""Training on a model in float16: small gradients do not vanish."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from artbank.bank import loss
from artbank.bank.dataset import encode_dataset
from artbank.bank.loss import backward_losses
from artbank.bank.train_state import TrainState
from artbank.bank.trainable_lora import TrainableLora
from artbank.diffusion.base_model import BaseModel
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe


def find_gradients(base: BaseModel, kind: str) -> Tensor:
    """Return all gradients of a bank's first step, in one line."""
    values = {"kind": kind, "num_tokens": 2, "batch_size": 4, "num_crops": 1, "resolution_px": 64}
    recipe = BankRecipe.model_validate(values)
    pictures = [draw_scene(82_000_000 + i, width_px=80, height_px=80).image for i in range(3)]
    views = encode_dataset(base, pictures[:2], [None] * 2, recipe), encode_dataset(base, pictures[2:], [None], recipe)
    state = TrainState(base, *views, recipe, "bank")
    if isinstance(state.bank, TrainableLora):  # else only one factor of each layer would have a gradient
        for up in state.bank.up:
            torch.nn.init.normal_(up, std=0.01, generator=torch.Generator().manual_seed(0))
    backward_losses(base, [state.bank], [state.draw_batch()], 5.0)
    return torch.cat([one.grad.flatten() for one in state.bank.parameters() if one.grad is not None])


@pytest.mark.parametrize("kind", ["tokens", "lora"])
def test_gradients_in_float16_are_those_of_float32(base: BaseModel, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    half = BaseModel.load("mini", device="cpu", dtype="float16")
    expected = find_gradients(base, kind)
    found = find_gradients(half, kind)
    assert cosine_similarity(found, expected, dim=0) > 0.9999
    assert found.norm() == pytest.approx(float(expected.norm()), rel=0.01)
    monkeypatch.setattr(loss, "_FLOAT16_SCALE", 1.0)
    assert cosine_similarity(find_gradients(half, kind), expected, dim=0) < 0.9998, "the scale has no effect"
