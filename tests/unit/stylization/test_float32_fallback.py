"""What a model in half precision cannot draw is drawn in float32, by a copy that no memory is held for afterwards."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import StylizeRecipe
from artbank.stylization.controls import NO_CONTROLS, Controls
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylized, Stylizer
from tests.support.controlnets import load, save_control

STYLES = ("novak", "alone")


@pytest.fixture(scope="module")
def rough() -> BaseModel:
    return BaseModel.load("mini", device="cpu", dtype="bfloat16")


@pytest.fixture(scope="module")
def controls(rough: BaseModel, base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Controls:
    return load(rough, f"gray={save_control(tmp_path_factory.mktemp('control'), base)}")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """The numbers of UNets and ControlNets in float32 at each decoding in float32; others give nothing for photo 1.

    Nothing collects garbage: what an unused copy holds must be free at once.
    """
    counts: list[tuple[int, int]] = []
    decode = BaseModel.decode_latents

    def overflow(self: BaseModel, latents: Tensor) -> Tensor:
        images = decode(self, latents)
        if self.dtype == torch.bfloat16:
            images[-1] = float("nan")
        else:
            counts.append(count_copies())
        return images

    monkeypatch.setattr(BaseModel, "decode_latents", overflow)
    gc.collect()
    gc.disable()
    yield counts
    gc.enable()


def count_copies() -> tuple[int, int]:
    """Return how many UNets and ControlNets there are in float32."""
    networks = [one for one in gc.get_objects() if type(one) in (UNet2DConditionModel, ControlNetModel)]
    precise = [type(one) for one in networks if one.dtype == torch.float32]
    return precise.count(UNet2DConditionModel), precise.count(ControlNetModel)


def draw(stylizer: Stylizer) -> list[Stylized]:
    scenes = [draw_scene(90_000_000 + seed, width_px=48, height_px=32).image for seed in range(2)]
    photos = [stylizer.prepare(str(number), scene) for number, scene in enumerate(scenes)]
    return list(stylizer.stylize_batch(photos))


def make(base: BaseModel, bank: Bank, controls: Controls = NO_CONTROLS) -> Stylizer:
    recipe = StylizeRecipe(steps=2, strength=0.5, guidance=2, resolution_px=32, colour="free", structure=0.3)
    return Stylizer(base, [Style("novak", ((bank, 1.0),)), Style("alone")], recipe, controls)


def test_one_copy_draws_a_batch_in_all_styles_and_is_gone_after_it(
    rough: BaseModel, controls: Controls, make_bank: Callable[..., Bank], seen: list[tuple[int, int]]
) -> None:
    stylizer = make(rough, make_bank(), controls)
    unets, networks = count_copies()
    for one in (stylizer, stylizer.with_settings(seed=1), stylizer):
        assert all(picture.error is None for picture in draw(one))
    assert seen == [(unets + 1, networks + 1)] * 6, "one copy at a time, for each style of each batch"
    assert count_copies() == (unets, networks)


def test_weights_that_are_in_float32_are_shared(rough: BaseModel, base: BaseModel) -> None:
    copy = rough.copy_in_float32()
    assert copy.dtype == copy.vae.dtype == copy.text_encoder.dtype == torch.float32
    assert rough.dtype == rough.vae.dtype == torch.bfloat16
    for own, wide in zip(rough.unet.parameters(), copy.unet.parameters(), strict=True):
        assert torch.equal(own.float(), wide) and own.stride() == wide.stride() and not wide.requires_grad
    for name, network in base.copy_in_float32().networks.items():
        pairs = zip(base.networks[name].parameters(), network.parameters(), strict=True)
        assert all(own is other for own, other in pairs)


def test_without_memory_for_the_copy_the_other_pictures_of_the_batch_are_there(
    rough: BaseModel, make_bank: Callable[..., Bank], seen: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any) -> BaseModel:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(BaseModel, "copy_in_float32", fail)
    stylizer = make(rough, make_bank())
    for _ in range(2):
        drawn = draw(stylizer)
        assert [(one.key, one.style) for one in drawn] == [(key, style) for style in STYLES for key in "01"]
        for one in drawn:
            assert (one.rgb is None) == (one.key == "1")
            if one.error is not None:
                assert one.error.failure == "out_of_memory"
                assert "empty in bfloat16" in one.error.reason and "float32" in one.error.reason
    assert seen == []


def test_a_copy_draws_what_a_model_in_float32_draws(
    rough: BaseModel, base: BaseModel, make_bank: Callable[..., Bank], seen: list[tuple[int, int]]
) -> None:
    fallen, fine = (draw(make(model, make_bank())) for model in (rough, base))
    for one, other in zip(fallen, fine, strict=True):
        assert one.rgb is not None and other.rgb is not None
        if one.key == "1":
            assert np.abs(one.rgb.astype(int) - other.rgb).max() <= 1
