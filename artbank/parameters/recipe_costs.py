"""Count the solver steps and the UNet evaluations that a recipe takes."""

from __future__ import annotations

from artbank.parameters.stylize_recipe import StylizeRecipe

_CACHED_COST = 0.36
"""Cost of an evaluation with reused features, of a whole one: of Stable Diffusion 1.x and 2.x at 512 px, by FLOPs."""


def count_steps(recipe: StylizeRecipe) -> int:
    """Return the number of solver steps that run at the recipe's strength."""
    return min(max(int(recipe.steps * recipe.strength + 1e-9), 1), recipe.steps)


def is_guided(recipe: StylizeRecipe, step: int) -> bool:
    """Return whether an executed step, counted from 0, uses guidance."""
    share = step / count_steps(recipe)
    return recipe.guidance > 1 and recipe.guidance_from <= share < recipe.guidance_to


def is_whole(recipe: StylizeRecipe, step: int) -> bool:
    """Return whether an executed step, counted from 0, runs the whole UNet: see `StylizeRecipe.reuse`.

    A step where guidance begins or ends does, because the step before it has no features for its prompts.
    """
    return step % recipe.reuse == 0 or is_guided(recipe, step) != is_guided(recipe, step - 1)


def count_evaluations(recipe: StylizeRecipe) -> int:
    """Return the UNet evaluations for one picture, also those that reuse features; a guided step takes two.

    All candidates count. The further drawings that `keep_structure` or `reach_style` may need do not, see
    `stylization.further_drawings`.
    """
    count = count_steps(recipe)
    inversion = {"stochastic": 1, "ddim": count, "gaussian": 0}[recipe.inversion]
    num_guided = sum(is_guided(recipe, step) for step in range(count))
    return (count + num_guided + inversion) * recipe.candidates


def count_cached_evaluations(recipe: StylizeRecipe) -> int:
    """Return how many of the evaluations of `count_evaluations` reuse the features of a step before."""
    cached = [step for step in range(count_steps(recipe)) if not is_whole(recipe, step)]
    return sum(1 + is_guided(recipe, step) for step in cached) * recipe.candidates


def estimate_cost(recipe: StylizeRecipe) -> float:
    """Return the cost of one picture's evaluations, in whole evaluations."""
    return count_evaluations(recipe) - (1 - _CACHED_COST) * count_cached_evaluations(recipe)
