"""Every recipe that is accepted draws: no combination of settings ends in an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.images.palette import Palette
from artbank.mini.drawing.scenes import draw_scene
from artbank.parameters.stylize_recipe import Inversion, Solver, Spacing
from artbank.recipes import StylizeRecipe
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer

SIDE_PX = 32
PHOTO = draw_scene(96_100_000, width_px=SIDE_PX, height_px=SIDE_PX).image
PALETTE = Palette.measure([draw_scene(96_100_001, width_px=SIDE_PX, height_px=SIDE_PX).image])
SHARES = st.sampled_from([0.0, 0.001, 0.3, 0.999, 1.0])
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "strength": SHARES,
        "steps": st.integers(1, 5),
        "guidance": st.sampled_from([1.0, 3.0, 50.0]),
        "guidance_from": SHARES,
        "guidance_to": SHARES,
        "inversion": st.sampled_from(get_args(Inversion)),
        "solver": st.sampled_from(get_args(Solver)),
        "spacing": st.sampled_from(get_args(Spacing)),
        "aligned": st.booleans(),
        "reuse": st.sampled_from([1, 2, 16]),
        "structure": SHARES,
        "style_weight": st.sampled_from([0.0, 0.5, 2.0]),
        "prompt": st.sampled_from(["", "a boat"]),
        "negative_prompt": st.sampled_from(["", "blurred"]),
        "colour": st.sampled_from(["free", "keep", "collection"]),
        "colour_strength": SHARES,
        "size": st.sampled_from(["working", "original"]),
        "detail": SHARES,
    },
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(SETTINGS)
@example({"aligned": False, "strength": 1.0})
@example({"solver": "lcm", "strength": 1.0, "steps": 1})
def test_any_settings_draw(base: BaseModel, make_bank: Callable[..., Bank], values: dict[str, Any]) -> None:
    try:
        recipe = StylizeRecipe(**{"steps": 2, "resolution_px": SIDE_PX, **values})
    except ValidationError:
        assume(False)
        return
    stylizer = Stylizer(base, [Style("novak", ((make_bank(), 1.0),), PALETTE)], recipe)
    (found,) = stylizer.stylize([stylizer.prepare("a", PHOTO)])
    assert found.error is None
    assert found.rgb is not None and found.rgb.shape == PHOTO.shape
    assert np.ptp(found.rgb) > 0
