"""The further drawings of a photo whose picture does not reach a goal of its recipe, and what they cost.

For `reach_style` they are fixed before the first photo: less of the photo's structure and a higher strength each time.
For `keep_structure` see `stylizer`; it draws a photo at most twice more, at the recipe's strength.

Source: ArtBank has neither; both were found by measurement, see docs/howto/subject-and-style.md.
"""

from __future__ import annotations

from artbank.parameters.recipe_costs import count_evaluations
from artbank.recipes import StylizeRecipe

NUM_FURTHER = 2
"""Further drawings of one picture, at most."""

_STRUCTURE_SHARES = (0.7, 0.0)
"""Structure of each further drawing, as a share of the recipe's."""

_FULL_STRENGTH = 1.0


def list_stronger(recipe: StylizeRecipe) -> tuple[StylizeRecipe, ...]:
    """Return the recipes of the drawings after the first that `reach_style` may take, weakest style first.

    All have a strength of 1. The first has 0.7 of the recipe's structure, the second none.

    Returns:
        At most two recipes; none without `reach_style`. Each has other settings than the one before it.
    """
    if recipe.reach_style is None:
        return ()
    stronger = []
    before = recipe
    for share in _STRUCTURE_SHARES:
        settings = {"structure": recipe.structure * share, "strength": _FULL_STRENGTH}
        after = before.model_copy(update=settings)
        if after != before:
            stronger.append(after)
        before = after
    return tuple(stronger)


def count_further_evaluations(recipe: StylizeRecipe) -> int:
    """Return the UNet evaluations that the further drawings of one picture take at most; 0 without a goal."""
    if recipe.keep_structure is not None:
        return NUM_FURTHER * count_evaluations(recipe)
    return sum(count_evaluations(stronger) for stronger in list_stronger(recipe))
