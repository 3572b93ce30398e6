"""A training fits the memory of its device: calls of the UNet are as small as that takes, and the bank is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal
from weakref import WeakKeyDictionary

import pytest
import torch
from torch import Tensor

from artbank.bank import call_size
from artbank.bank.call_bytes import count_call_bytes
from artbank.bank.checkpoint import TrainResult
from artbank.bank.dataset import LatentDataset, encode_dataset
from artbank.bank.train_state import TrainState
from artbank.bank.trainable_lora import TrainableLora
from artbank.bank.trainer import train
from artbank.diffusion.base_model import BaseModel
from artbank.errors import TrainingError
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe
from tests.support.bank_training import train_one

RECIPE = BankRecipe(num_tokens=2, max_steps=4, batch_size=6, num_crops=1, resolution_px=32, validate_every=2)
Place = Literal["forward", "backward", "validation"]


@pytest.fixture(scope="module")
def views(base: BaseModel) -> tuple[LatentDataset, LatentDataset]:
    pictures = [draw_scene(81_000_000 + i, width_px=48, height_px=40).image for i in range(4)]
    return encode_dataset(base, pictures[:3], [None] * 3, RECIPE), encode_dataset(base, pictures[3:], [None], RECIPE)


@pytest.fixture(autouse=True)
def _forget(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(call_size, "_found", WeakKeyDictionary())
    monkeypatch.setattr(call_size, "_planned", WeakKeyDictionary())
    yield
    base.unet.disable_gradient_checkpointing()


def limit_memory(monkeypatch: pytest.MonkeyPatch, most: int, place: Place | None = None) -> list[int]:
    """Let memory run out in calls of the UNet with more examples, at one place or all; returns all calls' sizes."""
    sizes: list[int] = []
    predict = BaseModel.predict

    def run_out(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore about it")

    def watch(self: BaseModel, latents: Tensor, timesteps: Tensor, prompts: Tensor, **named: Any) -> Tensor:
        sizes.append(len(latents))
        is_validation = not torch.is_grad_enabled()
        is_too_large = len(latents) > most
        if is_too_large and (place is None or place == ("validation" if is_validation else "forward")):
            run_out()
        predicted = predict(self, latents, timesteps, prompts, **named)
        if is_too_large and place == "backward" and predicted.requires_grad:
            predicted.register_hook(run_out)
        return predicted

    monkeypatch.setattr(BaseModel, "predict", watch)
    return sizes


def assert_same(found: TrainResult, expected: TrainResult) -> None:
    assert found.history.train == pytest.approx(expected.history.train, rel=1e-5)
    assert [loss for _, loss in found.history.validation] == pytest.approx(
        [loss for _, loss in expected.history.validation], rel=1e-5
    )
    assert measure_difference(found.vectors, expected.vectors) < 1e-3


def measure_difference(found: Tensor, expected: Tensor) -> float:
    """Return the root mean square of a difference as a share of the expected one.

    Not value by value: Adam makes a whole step of a gradient near 0, whose last bits depend on the size of calls.
    """
    return float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt())


@pytest.mark.parametrize("place", ["forward", "backward", "validation", None])
def test_a_bank_is_the_same_where_memory_runs_out(
    base: BaseModel,
    views: tuple[LatentDataset, LatentDataset],
    place: Place | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = train_one(TrainState(base, *views, RECIPE, "bank"))
    sizes = limit_memory(monkeypatch, 2, place)
    assert_same(train_one(TrainState(base, *views, RECIPE, "bank")), expected)
    assert max(sizes) > 2, "memory never ran out"
    assert max(sizes[-9:]) <= 2, "the smaller size was not kept"
    assert sizes.count(max(sizes)) == 1, "a size that did not fit was tried twice"


@pytest.mark.parametrize("place", ["forward", "backward"])
def test_a_lora_is_the_same_where_memory_runs_out(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.model_copy(update={"kind": "lora", "rank": 4})

    def learn() -> dict[str, Tensor]:
        state = TrainState(base, *views, recipe, "bank")
        train_one(state)
        return {name: values.detach().clone() for name, values in state.bank.state_dict().items()}

    expected = learn()
    sizes = limit_memory(monkeypatch, 2, place)
    found = learn()
    assert max(sizes) > 2 and max(sizes[-5:]) <= 2
    for name, values in expected.items():
        assert measure_difference(found[name], values) < 2e-3, name


@pytest.mark.parametrize("kind", ["tokens", "lora"])
def test_nothing_of_a_step_that_broke_off_stays(
    base: BaseModel,
    views: tuple[LatentDataset, LatentDataset],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory runs out in the second call of a step, when the first has left its gradients."""
    recipe = RECIPE.model_copy(update={"kind": kind, "rank": 4})
    one, other = (TrainState(base, *views, recipe, "bank") for _ in range(2))
    train([one])
    monkeypatch.setitem(call_size.MICRO_BATCH_SIZES, "cpu", 3)
    calls: list[int] = []
    predict = BaseModel.predict

    def fail_once(self: BaseModel, latents: Tensor, timesteps: Tensor, prompts: Tensor, **named: Any) -> Tensor:
        if torch.is_grad_enabled():
            calls.append(len(latents))
            if len(calls) == 2:
                raise torch.OutOfMemoryError
        return predict(self, latents, timesteps, prompts, **named)

    monkeypatch.setattr(BaseModel, "predict", fail_once)
    [found] = train([other])
    assert isinstance(found, TrainResult) and calls[:4] == [3, 3, 1, 1]
    assert found.history.train == pytest.approx(one.history.train, rel=1e-5)


def test_where_not_one_example_fits_the_training_ends_with_advice(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = limit_memory(monkeypatch, 0)
    ends = train([TrainState(base, *views, RECIPE, f"bank {number}") for number in range(2)])
    assert sizes == [8, 4, 2, 1, 1], "the last time with gradient checkpointing"
    assert base.unet.is_gradient_checkpointing
    for end in ends:
        assert isinstance(end, TrainingError)
        assert str(end) == (
            "not even one example fits in the memory of the device (CUDA out of memory. Tried to allocate 2.00 GiB.); "
            "train with a smaller --resolution-px, or on another device"
        )


def test_where_one_example_does_not_fit_gradient_checkpointing_gives_the_same_bank(
    base: BaseModel, views: tuple[LatentDataset, LatentDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train_one(TrainState(base, *views, RECIPE, "bank"))
    predict = BaseModel.predict

    def run_out(self: BaseModel, *given: Any, **named: Any) -> Tensor:
        if torch.is_grad_enabled() and not self.unet.is_gradient_checkpointing:
            raise torch.OutOfMemoryError
        return predict(self, *given, **named)

    monkeypatch.setattr(BaseModel, "predict", run_out)
    assert_same(train_one(TrainState(base, *views, RECIPE, "bank")), expected)


@pytest.mark.parametrize("kind", ["tokens", "lora"])
@pytest.mark.parametrize(("num_free", "is_checkpointing"), [(100, False), (3.5, False), (0.7, True)])
def test_the_first_call_has_as_many_examples_as_fit_in_the_free_memory(
    base: BaseModel,
    views: tuple[LatentDataset, LatentDataset],
    kind: str,
    num_free: float,
    is_checkpointing: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = TrainState(base, *views, RECIPE.model_copy(update={"kind": kind, "rank": 4}), "bank")
    unet = state.bank.model.unet if isinstance(state.bank, TrainableLora) else base.unet
    free = round(num_free * count(unet, views)) + call_size.MIN_RESERVE_BYTES
    monkeypatch.setattr(call_size, "measure_free", lambda _: free)
    monkeypatch.setattr(call_size, "RESERVED_SHARE", 0.0)
    sizes = limit_memory(monkeypatch, 100)
    train_one(state)
    assert unet.is_gradient_checkpointing is is_checkpointing
    fitting = int((free - call_size.MIN_RESERVE_BYTES) / count(unet, views))  # with gradient checkpointing, if it is on
    assert fitting >= 1 and max(sizes) <= min(fitting, 8)
    if not is_checkpointing:
        assert max(sizes) == min(fitting, 8)


def count(unet: Any, views: tuple[LatentDataset, LatentDataset]) -> int:
    channels, height, width = views[0].mean.shape[1:]
    return count_call_bytes(unet, (channels, height, width))


def test_a_reserve_stays_free() -> None:
    gib = 2**30
    assert call_size.count_fitting(10 * gib, gib) == 9, "a tenth"
    assert call_size.count_fitting(3 * gib, gib) == 2, "half a GiB at least"
    assert call_size.count_fitting(gib, gib) == call_size.count_fitting(gib // 4, gib) == 0


def test_what_fits_decides_for_every_family_where_the_free_memory_is_known(
    sdxl: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (4, 8, 8)
    most = call_size.MICRO_BATCH_SIZES.get("cpu", 8)
    assert call_size.call_size(sdxl, shape) == sdxl.family.micro_batch < most
    monkeypatch.setattr(call_size, "measure_free", lambda _: 2**40)
    assert call_size.call_size(sdxl, shape) == most
