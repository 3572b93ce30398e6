"""Losses and gradients of several banks, and how their prompts and examples go through the networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from artbank.bank.call_size import MICRO_BATCH_SIZES
from artbank.bank.dataset import LatentDataset
from artbank.bank.loss import backward_losses, diffusion_loss
from artbank.bank.train_state import TrainState
from artbank.bank.trainable_bank import forward_banks
from artbank.bank.trainer import train
from artbank.diffusion.base_model import BaseModel
from tests.support.joint_training import (
    RECIPE,
    open_all,
    open_gates,
    succeed,
    vary,
    watch_sizes,
)
from tests.support.text_encoders import text_width, vocabulary_rms


@pytest.mark.parametrize("gamma", [None, 5.0])
def test_gradients_among_others_are_those_of_each_banks_own_mean_loss(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], gamma: float | None
) -> None:
    recipes = [vary(batch_size=size, min_snr_gamma=gamma) for size in (3, 1, 4)]
    found = learn_once(base, open_all(base, views, *recipes), gamma)
    losses, gradients = [], []
    for member in open_gates(open_all(base, views, *recipes)):
        batch = member.draw_batch()
        prompts = base.encode_prompts(batch.prompts, member.bank())
        loss = diffusion_loss(base, batch.latents, batch.noise, batch.timesteps, prompts, gamma).mean()
        loss.backward()
        losses.append(loss.detach())
        gradients += [p.grad.flatten() for p in member.bank.parameters() if p.grad is not None]
    assert torch.allclose(found, torch.cat([torch.stack(losses), *gradients]), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("most", [1, 4, 5, 100])
def test_gradients_do_not_depend_on_how_many_samples_go_through_at_once(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = learn_once(base, open_all(base, views, RECIPE))
    monkeypatch.setitem(MICRO_BATCH_SIZES, "cpu", most)
    sizes = watch_sizes(monkeypatch)
    found = learn_once(base, open_all(base, views, RECIPE))
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert sum(sizes) == 9 and max(sizes) == {1: 1, 4: 3, 5: 5, 100: 9}[most]


def test_each_step_and_each_validation_encodes_every_banks_distinct_prompts_in_one_call(
    base: BaseModel, views: list[tuple[LatentDataset, LatentDataset]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[tuple[str, int]]] = []
    encode = BaseModel.encode_prompts

    def watch(self: BaseModel, prompts: Any, vectors: Any, places: Any) -> Tensor:
        calls.append(list(zip(prompts, places, strict=True)))
        return encode(self, prompts, vectors, places)

    monkeypatch.setattr(BaseModel, "encode_prompts", watch)
    train(open_all(base, views, vary(batch_size=8)))
    assert len(calls) == 1 + 6 + 3
    assert all(len(set(call)) == len(call) and {place for _, place in call} == {0, 1, 2} for call in calls)
    assert [len(call) for call in calls].count(3) >= 4  # a validation asks for one prompt of each bank


def test_the_prompts_of_several_banks_are_encoded_as_those_of_each(base: BaseModel) -> None:
    vectors = torch.randn(2, 3, text_width(base), generator=torch.Generator().manual_seed(0)) * vocabulary_rms(
        base.prompt_encoder
    )
    vectors.requires_grad_()
    prompts = ["a house in {style}", "{style}", "a very long prompt of a lake {style}", "none of it"]
    places = [1, 0, 1, 0]
    found = base.encode_prompts(prompts, vectors, places)
    for i, place in enumerate(places):
        assert torch.allclose(found[i], base.encode_prompts(prompts[i : i + 1], vectors[place])[0], atol=1e-5)
    found[1].sum().backward()
    assert vectors.grad is not None
    assert vectors.grad[0].abs().min() > 0 and not vectors.grad[1].any()


def test_banks_and_their_optimisers_stay_in_float32_on_a_model_in_half_precision(
    views: list[tuple[LatentDataset, LatentDataset]], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = BaseModel.load("mini", device="cpu", dtype="bfloat16")
    seen: set[tuple[torch.dtype, bool]] = set()
    predict = BaseModel.predict

    def watch(self: BaseModel, latents: Tensor, timesteps: Tensor, prompts: Tensor, **named: Any) -> Tensor:
        seen.add((prompts.dtype, torch.is_autocast_enabled("cpu")))
        return predict(self, latents, timesteps, prompts, **named)

    monkeypatch.setattr(BaseModel, "predict", watch)
    members = open_all(half, views, vary(max_steps=2))
    shaped = forward_banks([member.bank for member in members])
    ends = succeed(train(members))
    assert seen == {(torch.bfloat16, False)}
    assert (shaped.dtype, ends[0].vectors.dtype) == (torch.float32, torch.float32)
    for member in members:
        kept = [value for state in member.optimizer.state.values() for value in state.values()]
        assert {tensor.dtype for tensor in (*member.bank.parameters(), *kept)} == {torch.float32}
    assert {parameter.dtype for parameter in half.unet.parameters()} == {torch.bfloat16}


def learn_once(base: BaseModel, members: list[TrainState], gamma: float | None = None) -> Tensor:
    """Return losses and gradients of a step, in one line."""
    open_gates(members)
    losses = backward_losses(
        base, [member.bank for member in members], [member.draw_batch() for member in members], gamma
    )
    gradients = [p.grad.flatten() for member in members for p in member.bank.parameters() if p.grad is not None]
    return torch.cat([losses, *gradients])
