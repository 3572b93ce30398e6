"""The settings of a recipe: where presets begin, what they fix, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from artbank.parameters.presets import PRESETS
from artbank.recipes import StylizeRecipe


@pytest.mark.parametrize("own", [{"strength": 0.5}, {"guidance": 2.0, "inversion": "ddim"}, {"aligned": True}])
def test_settings_that_the_paper_fixes_are_refused_by_name(own: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"leave out {', '.join(own)}"):
        StylizeRecipe(preset="paper", **own)
    StylizeRecipe(preset="paper", strength=0.7)


def test_a_preset_is_where_a_recipe_starts_from_and_no_part_of_what_it_is() -> None:
    fast = StylizeRecipe(preset="fast")
    assert fast.steps < StylizeRecipe().steps == StylizeRecipe(preset="balanced").steps
    assert StylizeRecipe(preset="fast", steps=12).steps == 12
    assert StylizeRecipe(**StylizeRecipe(preset="fast", seed=3).model_dump()).seed == 3
    assert StylizeRecipe(**fast.model_dump(exclude={"preset"})).digest() == fast.digest()
    assert len({StylizeRecipe(preset=name).digest() for name in PRESETS}) == len(PRESETS) == 7
    with pytest.raises(ValueError, match="preset"):
        StylizeRecipe(preset="slow")


def test_a_colour_of_ones_own_counts_in_full_and_the_papers_presets_have_none() -> None:
    default = StylizeRecipe()
    assert (default.colour, default.colour_strength) == ("collection", 0.6)
    assert StylizeRecipe(colour="keep").colour_strength == StylizeRecipe(colour="collection").colour_strength == 1
    assert StylizeRecipe(colour="keep", colour_strength=0.3).colour_strength == 0.3
    assert StylizeRecipe(preset="exact").colour == StylizeRecipe(preset="paper").colour == "free"
    assert StylizeRecipe(preset="paper", colour="keep").colour == "keep"
    older = default.model_dump(exclude={"colour_strength"}) | {"colour": "free"}
    assert StylizeRecipe(**older).digest() == StylizeRecipe(colour="free").digest()


def test_a_guidance_interval_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match=r"guidance_from 0\.8 is above guidance_to 0\.2"):
        StylizeRecipe(guidance_from=0.8, guidance_to=0.2)
