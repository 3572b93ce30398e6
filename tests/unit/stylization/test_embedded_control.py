"""The embedded ControlNet: what it was trained for, on photographs that it has not seen."""

from __future__ import annotations

import numpy as np

from artbank.diffusion.base_model import BaseModel
from artbank.images.similarity import ssim_luma
from artbank.mini.drawing.scenes import draw_scene
from artbank.pretraining.corpus import HELD_OUT_SEEDS
from artbank.recipes import StylizeRecipe
from artbank.stylization.controls import NO_CONTROLS, Controls
from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from tests.support.controlnets import load


def test_pictures_that_nothing_else_holds_follow_their_photos(base: BaseModel) -> None:
    photos = {str(i): draw_scene(HELD_OUT_SEEDS + i, width_px=128, height_px=128).image for i in range(4)}
    settings = {"structure": 0.0, "steps": 8, "resolution_px": 128, "colour": "free"}
    recipe = StylizeRecipe(prompt="a scene, in the manner of Sorel", **settings)

    def measure(controls: Controls) -> float:
        stylizer = Stylizer(base, [Style("sorel")], recipe, controls)
        made = stylizer.stylize(stylizer.prepare(key, photo) for key, photo in photos.items())
        return float(np.mean([ssim_luma(one.rgb, photos[one.key]) for one in made]))

    assert measure(load(base, "gray=mini")) > measure(NO_CONTROLS) + 0.05
