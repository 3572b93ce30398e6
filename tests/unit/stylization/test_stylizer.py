from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.errors import BankError, ConfigError
from artbank.images.palette import Palette
from artbank.mini.drawing.scenes import draw_scene
from artbank.parameters.recipe_costs import count_evaluations
from artbank.recipes import StylizeRecipe
from artbank.stylization.inversion import draw_noise, invert_ddim, invert_stochastically, photo_seed
from artbank.stylization.latents import LatentStylizer
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylized, Stylizer

MakeBank = Callable[..., Bank]
FACTS = {"steps": 4, "strength": 0.5, "guidance": 2.0, "resolution_px": 32, "colour": "free"}
MOST_STEPS = 500
LAB_STEP = 3.0  # what rounding to 8 bit and the edge of the gamut may move a mean by


def picture(seed: int, width_px: int = 48, height_px: int = 32) -> np.ndarray:
    return draw_scene(90_000_000 + seed, width_px=width_px, height_px=height_px).image


def stylize(
    base: BaseModel, photos: list[tuple[str, np.ndarray]], style: Style, *, batch_size: int = 8, **values: Any
) -> dict[str, Stylized]:
    stylizer = Stylizer(base, [style], StylizeRecipe(**FACTS | values))
    return {
        found.key: found
        for found in stylizer.stylize([stylizer.prepare(*photo) for photo in photos], batch_size=batch_size)
    }


def pixels(base: BaseModel, style: Style, *, key: str = "a", seed: int = 0, **values: Any) -> np.ndarray:
    rgb = stylize(base, [(key, picture(seed))], style, **values)[key].rgb
    assert rgb is not None
    return rgb.astype(int)


@pytest.fixture(scope="module")
def novak(make_bank: MakeBank) -> Style:
    return Style("novak", ((make_bank(), 1.0),))


def test_a_photo_gives_the_same_picture_whatever_is_in_its_batch(base: BaseModel, novak: Style) -> None:
    photos = [(f"{i}", picture(i)) for i in range(3)] + [("tall", picture(3, 32, 48))]
    together = stylize(base, photos, novak)
    reversed_in_twos = stylize(base, photos[::-1], novak, batch_size=2)
    assert together.keys() == reversed_in_twos.keys() == {"0", "1", "2", "tall"}
    for key, found in together.items():
        assert found.rgb is not None and reversed_in_twos[key].rgb is not None
        assert np.abs(found.rgb.astype(int) - reversed_in_twos[key].rgb).max() <= 2


def test_another_key_or_another_run_seed_gives_another_picture(base: BaseModel, novak: Style) -> None:
    first = pixels(base, novak)
    assert np.array_equal(first, pixels(base, novak))
    assert np.abs(first - pixels(base, novak, key="b")).max() > 2
    assert np.abs(first - stylize(base, [("a", picture(0))], novak, **{"seed": 1})["a"].rgb.astype(int)).max() > 2


@given(seed=st.integers(0, 2**40), key=st.text(min_size=1))
def test_a_photos_seed_fits_a_generator_and_hangs_on_run_and_key(seed: int, key: str) -> None:
    found = photo_seed(seed, key)
    assert 0 <= found < 2**63 and found == photo_seed(seed, key)
    assert found not in (photo_seed(seed + 1, key), photo_seed(seed, key + "a"))


def test_noise_is_standard_normal_and_each_samples_own() -> None:
    both = draw_noise([1, 2], (4, 32, 32))
    assert torch.equal(both[1:], draw_noise([2], (4, 32, 32)))
    assert abs(both.mean()) < 0.05 and abs(both.std() - 1) < 0.05


def test_a_picture_has_the_working_size(base: BaseModel, novak: Style) -> None:
    found = stylize(base, [("a", picture(0, 71, 50))], novak, guidance=1.0)["a"].rgb
    assert found is not None and found.shape == (32, 45, 3) and found.dtype == np.uint8


def test_a_photo_of_one_pixel_and_a_long_strip_become_pictures(base: BaseModel, novak: Style) -> None:
    shapes = {"dot": (32, 32), "strip": (10, 304)}
    photos = [("dot", np.full((1, 1, 3), 90, np.uint8)), ("strip", np.full((4, 120, 3), 90, np.uint8))]
    found = stylize(base, photos, novak, guidance=1.0)
    assert {key: f.rgb.shape[:2] for key, f in found.items() if f.rgb is not None} == shapes


def test_at_style_weight_0_a_style_is_the_plain_prompt(base: BaseModel, novak: Style) -> None:
    plain = pixels(base, Style("plain"))
    assert np.array_equal(pixels(base, novak, style_weight=0.0), plain)
    assert np.abs(pixels(base, novak) - plain).max() > 2


def test_style_weight_and_mixes_interpolate_what_the_prompts_say(base: BaseModel, make_bank: MakeBank) -> None:
    one, two = make_bank(seed=1), make_bank(seed=2)
    styles = [
        Style("one", ((one, 1.0),)),
        Style("two", ((two, 1.0),)),
        Style("mix", ((one, 0.3), (two, 0.7))),
        Style("twice", ((one, 0.5), (one, 0.5))),
    ]
    whole = LatentStylizer(base, styles, StylizeRecipe())
    prompts = whole.prompts
    assert torch.allclose(prompts["mix"], 0.3 * prompts["one"] + 0.7 * prompts["two"], atol=1e-5)
    assert torch.allclose(prompts["twice"], prompts["one"], atol=1e-6)
    half = LatentStylizer(base, styles, StylizeRecipe(style_weight=0.5)).prompts["one"]
    assert torch.allclose(half, (whole.neutral + prompts["one"]) / 2, atol=1e-5)


def test_only_the_styles_asked_for_are_drawn(base: BaseModel, novak: Style) -> None:
    stylizer = Stylizer(base, [novak, Style("plain")], StylizeRecipe(**FACTS))
    photos = [stylizer.prepare("a", picture(0))]
    assert [found.style for found in stylizer.stylize(photos, styles=["plain"])] == ["plain"]
    assert [found.style for found in stylizer.stylize(photos)] == ["novak", "plain"]


def test_guidance_runs_in_its_interval_only_and_takes_two_evaluations_there(
    base: BaseModel, novak: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    predict = BaseModel.predict

    def counting(self: BaseModel, *args: Any, **named: Any) -> torch.Tensor:
        predicted = predict(self, *args, **named)
        sizes.append(len(predicted))
        return predicted

    monkeypatch.setattr(BaseModel, "predict", counting)
    facts = {"steps": 8, "guidance_from": 0.25, "guidance_to": 0.75}
    pixels(base, novak, **facts)
    assert sizes == [1, 1, 2, 2, 1]  # the inversion, then four steps
    assert sum(sizes) == count_evaluations(StylizeRecipe(**FACTS | facts))


@pytest.mark.parametrize("inversion", ["stochastic", "gaussian", "ddim"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_evaluations_foretold_are_those_that_are_run(
    base: BaseModel, novak: Style, monkeypatch: pytest.MonkeyPatch, inversion: str, guidance: float
) -> None:
    count = 0
    forward = base.unet.conv_out.forward

    def counting(x: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += len(x)
        return forward(x)

    monkeypatch.setattr(base.unet.conv_out, "forward", counting)
    pixels(base, novak, inversion=inversion, guidance=guidance)
    assert count == count_evaluations(StylizeRecipe(**FACTS | {"inversion": inversion, "guidance": guidance}))


@pytest.mark.parametrize("solver", ["ddim", "dpm++2m", "unipc", "euler"])
def test_more_strength_moves_a_photo_further(base: BaseModel, solver: str) -> None:
    clean = base.encode_images(torch.from_numpy(picture(0)).permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    moved = []
    for strength in (0.1, 0.5, 0.9):
        recipe = StylizeRecipe(solver=solver, steps=10, strength=strength, guidance=1.0, inversion="gaussian")
        latents = LatentStylizer(base, [Style("plain")], recipe).stylize(clean, noise, "plain")
        moved.append((latents - clean).square().mean().item())
    assert moved == sorted(moved) and moved[0] < moved[2] / 3


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_stochastic_inversion_by_a_model_that_sees_the_true_noise_is_q_sample(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch, prediction: str
) -> None:
    scheduler = DDIMScheduler.from_config(base.scheduler.config, prediction_type=prediction)
    model = dataclasses.replace(base, scheduler=scheduler)
    clean, noise = (torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    truth = noise if prediction == "epsilon" else scheduler.get_velocity(clean, noise, torch.tensor([500]))
    monkeypatch.setattr(BaseModel, "predict", lambda self, latents, timestep, prompts: truth)
    found = invert_stochastically(model, clean, noise, 500, base.encode_prompts(["a painting"]))
    assert torch.allclose(found, scheduler.add_noise(clean, noise, torch.tensor([500])), atol=1e-5)


def test_ddim_inversion_with_a_constant_prediction_follows_the_schedule(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With noise that does not change, every step down the path ends on q_sample of one clean image."""
    clean, noise = (torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    monkeypatch.setattr(BaseModel, "predict", lambda self, latents, timestep, prompts: noise)
    alphas, first = base.scheduler.alphas_cumprod, base.scheduler.final_alpha_cumprod
    found = invert_ddim(base, clean, [601, 301, 1], base.encode_prompts(["a painting"]))
    origin = (clean - (1 - first).sqrt() * noise) / first.sqrt()
    assert torch.allclose(found, alphas[601].sqrt() * origin + (1 - alphas[601]).sqrt() * noise, atol=1e-5)


def test_values_that_are_not_finite_give_no_picture_and_spare_the_batch(
    base: BaseModel, novak: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = BaseModel.decode_latents

    def break_first(self: BaseModel, latents: torch.Tensor) -> torch.Tensor:
        images = decode(self, latents)
        images[0, 0, 0, 0] = float("nan")
        return images

    monkeypatch.setattr(BaseModel, "decode_latents", break_first)
    found = stylize(base, [("a", picture(0)), ("b", picture(1))], novak)
    assert found["a"].rgb is None and found["b"].rgb is not None
    assert found["a"].error and found["a"].error.failure == "not_finite"
    assert found["a"].error.reason.endswith("; lower guidance, or take another bank or base_model")


@pytest.mark.parametrize("value", [float("nan"), -5.0])
def test_what_half_precision_loses_is_drawn_again_in_float32(
    base: BaseModel, novak: Style, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    decode = BaseModel.decode_latents

    def overflow(self: BaseModel, latents: torch.Tensor) -> torch.Tensor:
        images = decode(self, latents)
        if self.dtype == torch.bfloat16:
            images[1] = value
        return images

    rough = BaseModel.load("mini", device="cpu", dtype="bfloat16")
    monkeypatch.setattr(BaseModel, "decode_latents", overflow)
    photos = [(key, picture(seed)) for seed, key in enumerate("abc")]
    found, fine = (stylize(*drawn, novak, structure=0.6) for drawn in ((rough, photos), (base, photos[1:2])))
    copied = stylize(rough.copy_in_float32(), photos[1:2], novak, structure=0.6)
    assert all(one.rgb is not None and one.error is None for one in found.values())
    assert found["b"].rgb is not None and fine["b"].rgb is not None
    assert np.abs(found["b"].rgb.astype(int) - fine["b"].rgb).max() <= 1
    assert np.array_equal(found["b"].rgb, copied["b"].rgb)  # pyright: ignore[reportArgumentType]
    assert list(found) == ["a", "b", "c"]


def test_a_batch_that_does_not_fit_in_memory_is_halved_until_it_does(
    base: BaseModel, novak: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, sizes = stylize(base, photos := [(key, picture(ord(key))) for key in "abcdefg"], novak), []

    def predict_few(self: BaseModel, latents: torch.Tensor, *args: Any, **named: Any) -> torch.Tensor:
        sizes.append(len(latents))
        if len(latents) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return predict(self, latents, *args, **named)

    predict = BaseModel.predict
    monkeypatch.setattr(BaseModel, "predict", predict_few)
    found = stylize(base, photos, novak)
    assert list(found) == list(whole) and max(sizes) > 2
    for key, one in found.items():
        other = whole[key].rgb
        assert one.rgb is not None and other is not None
        assert np.abs(one.rgb.astype(int) - other).max() <= 2


def test_one_photo_that_does_not_fit_in_memory_is_lost_and_no_other(
    base: BaseModel, novak: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode_small(self: BaseModel, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if images.shape[-1] > 64:
            raise torch.OutOfMemoryError("out of memory")
        return encode(self, images)

    encode = BaseModel.encode_images
    monkeypatch.setattr(BaseModel, "encode_images", encode_small)
    found = stylize(base, [("wide", picture(0, 96, 32)), ("b", picture(1))], novak)
    assert found["b"].rgb is not None and found["wide"].rgb is None
    assert found["wide"].error and found["wide"].error.failure == "out_of_memory"
    assert "lower resolution_px" in found["wide"].error.reason


def test_a_bank_of_another_model_and_colours_that_are_not_there_never_start(
    base: BaseModel, make_bank: MakeBank, novak: Style
) -> None:
    foreign = dataclasses.replace(make_bank(), base_model_hash="0" * 64)
    with pytest.raises(BankError, match="was trained on"):
        Stylizer(base, [Style("novak", ((foreign, 1.0),))], StylizeRecipe())
    with pytest.raises(ConfigError, match="style novak has no colours of a collection"):
        Stylizer(base, [novak], StylizeRecipe(colour="collection"))


def test_the_colour_policies_act_on_the_picture(base: BaseModel, novak: Style) -> None:
    style = dataclasses.replace(novak, palette=Palette((40.0, 20.0, 20.0), (10.0, 4.0, 4.0)))
    means = {
        colour: Palette.measure([pixels(base, style, colour=colour).astype(np.uint8)]).mean
        for colour in ("free", "keep", "collection")
    }
    photo = Palette.measure([picture(0)])
    assert means["keep"][1:] == pytest.approx(photo.mean[1:], abs=LAB_STEP)
    assert means["collection"] == pytest.approx((40.0, 20.0, 20.0), abs=LAB_STEP)
    assert means["free"] != pytest.approx(means["collection"], abs=LAB_STEP)
