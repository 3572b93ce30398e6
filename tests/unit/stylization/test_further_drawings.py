"""Further drawings go from the recipe's settings to the strongest style, and their cost is known before."""

from __future__ import annotations

import pytest

from artbank.parameters.recipe_costs import count_evaluations
from artbank.recipes import StylizeRecipe
from artbank.stylization.further_drawings import count_further_evaluations, list_stronger


def test_each_further_drawing_has_less_structure_and_the_last_has_none_at_full_strength() -> None:
    recipe = StylizeRecipe(structure=0.5, strength=0.8, reach_style=0.5)
    steps = [(one.structure, one.strength) for one in (recipe, *list_stronger(recipe))]
    assert steps == [(0.5, 0.8), (pytest.approx(0.35), 1.0), (0.0, 1.0)]
    others = {"structure", "strength"}
    assert all(one.model_dump(exclude=others) == recipe.model_dump(exclude=others) for one in list_stronger(recipe))


@pytest.mark.parametrize(
    ("structure", "strength", "expected"), [(0.0, 1.0, []), (0.0, 0.7, [(0.0, 1.0)]), (0.5, 1.0, [(0.35, 1), (0, 1)])]
)
def test_no_drawing_is_made_twice(structure: float, strength: float, expected: list[tuple[float, float]]) -> None:
    recipe = StylizeRecipe(structure=structure, strength=strength, reach_style=0.5)
    assert [(one.structure, one.strength) for one in list_stronger(recipe)] == expected


def test_the_cost_of_further_drawings_is_known_before() -> None:
    assert list_stronger(StylizeRecipe()) == ()
    assert count_further_evaluations(StylizeRecipe()) == 0
    recipe = StylizeRecipe(reach_style=0.5, candidates=2)
    assert count_evaluations(recipe) == 2 * 19
    assert count_further_evaluations(recipe) == 2 * 2 * 21, "10 guided steps and the inversion"
    assert count_further_evaluations(StylizeRecipe(keep_structure=0.6)) == 2 * 19


def test_a_recipe_without_it_keeps_its_id_and_goals_that_contradict_each_other_are_refused() -> None:
    assert StylizeRecipe(preset="exact").digest() == "cab364c468379cba", "as before there was a goal of style"
    assert StylizeRecipe(reach_style=0.5).digest() != StylizeRecipe().digest()
    with pytest.raises(ValueError, match="give one of them"):
        StylizeRecipe(keep_structure=0.6, reach_style=0.5)
    with pytest.raises(ValueError, match="preset paper fixes reach_style=None; leave out reach_style"):
        StylizeRecipe(preset="paper", reach_style=0.5)
    for value in (0, 1.1):
        with pytest.raises(ValueError, match="reach_style"):
            StylizeRecipe(reach_style=value)
