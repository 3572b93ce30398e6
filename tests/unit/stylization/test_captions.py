"""Photos with captions of their own: each is drawn as if its caption were the recipe's prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import without_placeholder
from artbank.diffusion.unet import UnetCall, _shape_of_call
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import StylizeRecipe
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

FACTS: dict[str, Any] = {"steps": 4, "strength": 0.5, "guidance": 2.0, "resolution_px": 32, "colour": "free"}
CAPTIONS = ("a harbour at night", "", "snow on a mountain")


def pictures(base: BaseModel, style: Style, captions: Sequence[str], **recipe: Any) -> list[np.ndarray]:
    """Return the pictures of three photos, drawn in one batch."""
    stylizer = Stylizer(base, [style], StylizeRecipe(**FACTS | recipe))
    images = [draw_scene(90_000_000 + seed, width_px=32, height_px=32).image for seed in range(3)]
    photos = [stylizer.prepare(str(number), image) for number, image in enumerate(images)]
    drawn = stylizer.stylize([replace(one, caption=text) for one, text in zip(photos, captions, strict=True)])
    return [one.rgb.astype(int) for one in drawn if one.rgb is not None]


@pytest.fixture(scope="module")
def mix(make_bank: Callable[..., Bank]) -> Style:
    return Style("mix", ((make_bank(seed=1), 0.4), (make_bank(seed=2), 0.6)))


@pytest.mark.parametrize("inversion", ["stochastic", "ddim"])
@pytest.mark.parametrize("style_weight", [1.0, 0.6])
def test_a_photo_is_drawn_as_if_its_caption_were_the_prompt(
    base: BaseModel, mix: Style, inversion: str, style_weight: float
) -> None:
    facts = {"inversion": inversion, "style_weight": style_weight, "prompt": "a painting of hills"}
    drawn = pictures(base, mix, CAPTIONS, photo_captions=True, **facts)
    for number, caption in enumerate(CAPTIONS):
        alone = pictures(base, mix, CAPTIONS, **facts | {"prompt": caption or "a painting of hills"})[number]
        assert np.abs(drawn[number] - alone).max() <= 2, "as in a batch of another composition"
    without = pictures(base, mix, CAPTIONS, **facts)
    assert [bool(np.abs(one - other).max() > 2) for one, other in zip(drawn, without, strict=True)] == [
        True,
        False,
        True,
    ]


def test_a_hostile_caption_cannot_ask_for_a_style(base: BaseModel, mix: Style) -> None:
    hostile = "{style} {sty{style}le} a harbour at night"
    assert without_placeholder(hostile) == "  a harbour at night"
    [first, *_] = pictures(base, mix, (hostile, "{style}", "x" * 500), photo_captions=True)
    [expected, *_] = pictures(base, mix, CAPTIONS, photo_captions=True)
    assert np.abs(first - expected).max() <= 2


def test_the_compiler_tells_prompts_of_each_photo_from_one_that_all_share(base: BaseModel) -> None:
    latents = torch.zeros(2, base.unet.config.in_channels, 8, 8)
    encoded = base.encode_prompts(["a hill", "a bridge"])
    caches = [base.denoiser.cache_prompts(prompts).pairs for prompts in (encoded[:1], encoded)]
    shifts = (torch.zeros(1, 8),)
    shapes = {_shape_of_call(base.unet, UnetCall(latents, shifts, pairs, 1)) for pairs in caches}
    assert len(shapes) == 2
