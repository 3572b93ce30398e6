from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from artbank.diffusion.base_model import BaseModel
from artbank.recipes import StylizeRecipe
from artbank.stylization.solvers import SolverTable, build_scheduler, start_at_strength

SOLVERS = ["ddim", "dpm++2m", "unipc"]
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
    history = torch.zeros(len(table.timesteps) + 1, 2, 4, 8, 8)
    history[0] = latents = torch.randn(2, 4, 8, 8, generator=generator)
    for step, timestep in enumerate(table.timesteps):
        history[step + 1] = predicted = torch.randn(2, 4, 8, 8, generator=generator)
        latents = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        assert torch.allclose(table.advance(history, step), latents, rtol=1e-4, atol=1e-4 * latents.abs().max().item())


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 7, 50, MOST_STEPS])
def test_every_number_of_steps_runs_on_timesteps_that_fall_and_exist(base: BaseModel, solver: Any, steps: int) -> None:
    recipe = StylizeRecipe(solver=solver, steps=steps, strength=1.0)
    timesteps = start_at_strength(build_scheduler(base.scheduler, recipe), recipe)
    assert len(timesteps) == steps
    assert all(0 <= t < base.num_train_timesteps for t in timesteps)
    assert all(later < earlier for earlier, later in zip(timesteps, timesteps[1:], strict=False))
    with pytest.raises(ValueError, match="steps"):
        StylizeRecipe(steps=MOST_STEPS + 1)
