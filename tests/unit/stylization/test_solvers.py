from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from artbank.diffusion.base_model import BaseModel
from artbank.parameters.few_steps import FEW_STEP_SOLVERS
from artbank.parameters.recipe_costs import count_evaluations, count_steps
from artbank.recipes import StylizeRecipe
from artbank.stylization.solvers import SolverTable, build_scheduler, start_at_strength

SOLVERS = ["ddim", "dpm++2m", "unipc", "euler", "euler_a", "lcm"]
MOST_STEPS = 500


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("steps", "strength"), [(1, 1.0), (10, 0.7), (20, 1.0), (50, 0.7)])
def test_a_table_does_what_the_scheduler_does_step_by_step(
    base: BaseModel, solver: Any, prediction: str, steps: int, strength: float
) -> None:
    schedule = DDIMScheduler.from_config(base.scheduler.config, prediction_type=prediction)
    recipe = StylizeRecipe(solver=solver, steps=steps, strength=strength)
    table = SolverTable.from_recipe(schedule, recipe, base.device)
    scheduler = build_scheduler(schedule, recipe)
    assert list(table.timesteps) == start_at_strength(scheduler, recipe)
    generator = torch.Generator().manual_seed(0)
    first, *predictions = torch.randn(1 + len(table.timesteps), 2, 4, 8, 8, generator=generator)
    noises = torch.stack([torch.randn(2, 4, 8, 8, generator=seeded(step)) for step in range(len(table.timesteps))])
    history = table.begin(first, noises if table.adds_noise else None)
    latents = first / scheduler.scale_model_input(torch.ones(1), scheduler.timesteps[-len(table.timesteps)])
    for step, timestep in enumerate(scheduler.timesteps[-len(table.timesteps) :]):
        takes_noise = {"generator": seeded(step)} if table.adds_noise else {}
        latents = scheduler.step(predictions[step], timestep, latents, return_dict=False, **takes_noise)[0]
        found = table.advance(history, step, predictions[step])
        wanted = scheduler.scale_model_input(latents, timestep)
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


def seeded(step: int) -> torch.Generator:
    return torch.Generator().manual_seed(100 + step)


@pytest.mark.parametrize("spacing", ["auto", "leading", "trailing"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 4, 7, 50, MOST_STEPS])
def test_every_number_of_steps_runs_on_timesteps_that_fall_and_exist(
    base: BaseModel, solver: Any, spacing: Any, steps: int
) -> None:
    if (solver, spacing, steps) == ("lcm", "auto", MOST_STEPS):
        pytest.skip("LCM's own schedule has 50 steps")
    recipe = StylizeRecipe(solver=solver, spacing=spacing, steps=steps, strength=1.0)
    timesteps = start_at_strength(build_scheduler(base.scheduler, recipe), recipe)
    assert len(timesteps) == steps
    assert all(0 <= t < base.num_train_timesteps for t in timesteps)
    assert all(later < earlier for earlier, later in zip(timesteps, timesteps[1:], strict=False))
    begins_at_the_noisiest = spacing == "trailing" or (spacing == "auto" and solver in FEW_STEP_SOLVERS)
    assert not begins_at_the_noisiest or timesteps[0] == base.num_train_timesteps - 1
    with pytest.raises(ValueError, match="steps"):
        StylizeRecipe(steps=MOST_STEPS + 1)


def test_euler_keeps_to_whole_timesteps_whatever_the_models_own_scheduler_does(base: BaseModel) -> None:
    own = {"timestep_spacing": "linspace", "use_karras_sigmas": True, "interpolation_type": "log_linear"}
    schedule = DDIMScheduler.from_config(dict(base.scheduler.config) | own)
    scheduler = build_scheduler(schedule, StylizeRecipe(preset="turbo"))
    assert scheduler.timesteps.tolist() == [999, 749, 499, 249]


@pytest.mark.parametrize("strength", [0.2, 0.24])
def test_fewer_than_one_step_is_refused_with_what_to_give(strength: float) -> None:
    with pytest.raises(ValueError, match=r"steps x strength of at least 1, found 4 x .*strength 0.25 .* steps 5 or"):
        StylizeRecipe(preset="turbo", strength=strength)
    with pytest.raises(ValueError, match="no step would run"):
        StylizeRecipe(solver="ddim", spacing="trailing", steps=4, strength=strength)
    assert count_steps(StylizeRecipe(preset="turbo", strength=0.25)) == 1
    assert count_steps(StylizeRecipe(preset="turbo", strength=strength, steps=5)) == 1
    with pytest.raises(ValueError, match="at most 50 steps with solver lcm, found 51"):
        StylizeRecipe(solver="lcm", steps=51)


def test_turbo_takes_four_evaluations_and_older_recipes_keep_their_ids() -> None:
    turbo = StylizeRecipe(preset="turbo")
    assert (count_evaluations(turbo), turbo.guidance) == (4, 1)
    assert [count_evaluations(StylizeRecipe(preset="turbo", solver=solver)) for solver in ("euler_a", "lcm")] == [4, 4]
    assert StylizeRecipe(preset="exact").digest() == "cab364c468379cba", "as before there was a spacing"
    assert StylizeRecipe(spacing="trailing").digest() != StylizeRecipe().digest()
