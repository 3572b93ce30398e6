"""The pictures of the documents are laid out from what artbank drew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artbank.recipes import StylizeRecipe
from bench import overview, setting_sheet
from bench.captioned import fit, lay_out

RED, GREEN, BLUE, GREY = (200, 20, 20), (20, 200, 20), (20, 20, 200), (120, 120, 120)


def plain(colour: tuple[int, int, int], width: int = 60, height: int = 40) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_the_strip_has_each_picture_below_a_painting_of_its_collection() -> None:
    rows = overview.arrange(plain(GREY), {"a": plain(RED), "b": plain(BLUE)}, {"a": plain(GREEN), "b": plain(GREY)})
    sheet = np.asarray(lay_out(rows, 60, 40))
    across, down = 60 + 12, 40 + 30 + 12
    shown = [[tuple(sheet[20 + down * row, 30 + across * column]) for column in range(3)] for row in range(2)]
    assert shown == [[(255, 255, 255), RED, BLUE], [GREY, GREEN, GREY]]
    assert (sheet[40 + 3 : 40 + 30, across : across + 60] < 128).any(), "a caption"


def test_a_picture_of_another_shape_is_cut_in_its_middle_and_not_stretched() -> None:
    tall = plain(RED, 60, 120)
    tall[40:80] = BLUE
    assert set(fit(tall, 60, 40).get_flattened_data()) == {BLUE}


def test_the_painting_that_is_asked_for_is_shown_else_the_first_one(tmp_path: Path) -> None:
    for name, colour in {"1.png": RED, "2.png": BLUE}.items():
        Image.fromarray(plain(colour)).save(tmp_path / name)
    assert tuple(overview.find_painting(tmp_path, ["2.png"])[0, 0]) == BLUE
    assert tuple(overview.find_painting(tmp_path, [])[0, 0]) == RED


def test_the_sheet_of_settings_changes_one_setting_in_each_row_and_shows_its_default() -> None:
    default = StylizeRecipe()
    for name, settings in setting_sheet.ROWS:
        assert all(set(one) <= {name} for one in settings)
        recipes = [StylizeRecipe.model_validate(one) for one in settings]
        assert len({recipe.digest() for recipe in recipes}) == len(recipes)
        if name != "structure":  # its row is evenly spread
            assert default.digest() in {recipe.digest() for recipe in recipes}


@pytest.mark.parametrize(("settings", "told"), [({"strength": 0.5}, "strength 0.5"), ({}, "colour by default")])
def test_a_caption_names_the_setting(settings: dict[str, float], told: str) -> None:
    assert setting_sheet.caption(settings) == told
