"""Solvers of the denoising, as tables of numbers.

Shape legend: S executed steps, B batch, C x h x w latents.

A step of DDIM, DPM-Solver++ or UniPC is linear in the latents and in the model's predictions so far. So its effect on
unit vectors describes it completely: the tables are read from diffusers' own schedulers before the first photo, and
nothing is computed, and no device is waited for, between two evaluations of the UNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from torch import Tensor

from artbank.recipes import StylizeRecipe, count_steps

Scheduler = DDIMScheduler | DPMSolverMultistepScheduler | UniPCMultistepScheduler
_LINEAR = {"thresholding": False, "clip_sample": False}  # both would clip latents, and are meant for pixels


@dataclass(frozen=True)
class SolverTable:
    """The executed steps of a solver.

    Attributes:
        timesteps: S of them, falling.
        weights: [S, S + 1] float32; row s has the weights of the first latents and of each prediction in the latents
            after step s.
    """

    timesteps: tuple[int, ...]
    weights: Tensor

    @classmethod
    def from_recipe(cls, schedule: DDIMScheduler, recipe: StylizeRecipe, device: torch.device) -> SolverTable:
        """Read the table of a recipe on a base model's noise schedule."""
        scheduler = build_scheduler(schedule, recipe)
        timesteps = start_at_strength(scheduler, recipe)
        units = torch.eye(len(timesteps) + 1, dtype=torch.float64)[:, None]  # each [1, S + 1]
        latents = units[0]
        rows = []
        for number, timestep in enumerate(timesteps, start=1):
            latents = scheduler.step(units[number], timestep, latents, return_dict=False)[0].double()
            rows.append(latents)
        return cls(tuple(timesteps), torch.cat(rows).float().to(device))

    def advance(self, history: Tensor, step: int) -> Tensor:
        """Return the latents [B, C, h, w] after a step.

        Args:
            history: [S + 1, B, C, h, w] float32: the first latents, then the predictions of the steps so far.
            step: 0..S - 1.
        """
        num_known = step + 2
        return torch.tensordot(self.weights[step, :num_known], history[:num_known], dims=1)


def build_scheduler(schedule: DDIMScheduler, recipe: StylizeRecipe) -> Scheduler:
    """Build diffusers' scheduler of a recipe on a base model's noise schedule, set to its steps."""
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "ddim": (DDIMScheduler, {}),
        "unipc": (UniPCMultistepScheduler, {}),
        "dpm++2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    }
    kind, options = kinds[recipe.solver]
    scheduler = kind.from_config(schedule.config, **options, **_LINEAR)
    scheduler.set_timesteps(recipe.steps)
    return scheduler


def start_at_strength(scheduler: Scheduler, recipe: StylizeRecipe) -> list[int]:
    """Set a scheduler to start at the recipe's strength; returns the timesteps that are left, falling."""
    begin = len(scheduler.timesteps) - count_steps(recipe)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    return [int(timestep) for timestep in scheduler.timesteps[begin:]]
