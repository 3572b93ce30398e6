"""Solvers of the denoising, as tables of numbers.

Shape legend: S executed steps, K columns of a table, B batch, C x h x w latents.

A step of DDIM, DPM-Solver++, UniPC, Euler or a latent consistency model is linear in the latents, in the model's
predictions so far, and in the noise that some of them add. So its effect on unit vectors describes it completely: the
tables are read from diffusers' own schedulers before the first photo, and nothing is computed, and no device is waited
for, between two evaluations of the UNet.

Latents are scaled as the UNet takes them. Euler's own are larger by sqrt(1 + sigma^2), as diffusers' pipelines have
them; the tables hold the difference.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from artbank.parameters.recipe_costs import count_steps
from artbank.recipes import StylizeRecipe

Scheduler = (
    DDIMScheduler
    | DPMSolverMultistepScheduler
    | UniPCMultistepScheduler
    | EulerDiscreteScheduler
    | EulerAncestralDiscreteScheduler
    | LCMScheduler
)
_LINEAR = {"thresholding": False, "clip_sample": False}  # both would clip latents, and are meant for pixels
_ON_TIMESTEPS = {  # a model's own scheduler may take noise levels between the timesteps
    "timestep_spacing": "trailing",
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "final_sigmas_type": "zero",
}
_ADDS_NOISE = (EulerAncestralDiscreteScheduler, LCMScheduler)
_ANY_SEED = 0


@dataclass(frozen=True)
class SolverTable:
    """The executed steps of a solver.

    Attributes:
        timesteps: S of them, falling.
        weights: [S, K] float32; row s has the weights of the first latents, and then of each step's prediction, in the
            latents after step s. A solver that adds noise has the weight of a step's noise behind its prediction.
        adds_noise: Whether steps add noise: K is 1 + 2 S if they do, else 1 + S.
    """

    timesteps: tuple[int, ...]
    weights: Tensor
    adds_noise: bool = False

    @classmethod
    def from_recipe(cls, schedule: DDIMScheduler, recipe: StylizeRecipe, device: torch.device) -> SolverTable:
        """Read the table of a recipe on a base model's noise schedule."""
        scheduler: Any = build_scheduler(schedule, recipe)  # their types of a timestep differ
        timesteps = start_at_strength(scheduler, recipe)
        adds_noise = isinstance(scheduler, _ADDS_NOISE)
        per_step = 1 + adds_noise
        units = torch.eye(1 + per_step * len(timesteps), dtype=torch.float64)[:, None]  # each [1, K]
        latents = units[0] / _scale(scheduler, timesteps)
        rows = []
        for number in range(len(timesteps)):
            timestep = scheduler.timesteps[len(scheduler.timesteps) - len(timesteps) + number]
            first = 1 + per_step * number
            if adds_noise:
                latents = _add_unit(scheduler, units[first], units[first + 1], timestep, latents)
            else:
                latents = scheduler.step(units[first], timestep, latents, return_dict=False)[0].double()
            rows.append(latents * _scale(scheduler, timesteps))
        return cls(tuple(timesteps), torch.cat(rows).float().to(device), adds_noise)

    @property
    def num_noises(self) -> int:
        """The noises that the steps of one picture take: S or none. The last step's has no weight."""
        return len(self.timesteps) if self.adds_noise else 0

    def begin(self, latents: Tensor, noises: Tensor | None) -> Tensor:
        """Return the history [K, B, C, h, w] before the first step.

        Args:
            latents: The first latents, [B, C, h, w].
            noises: Standard normal noise of each step, [S, B, C, h, w]; None for a solver that adds none.
        """
        history = torch.empty(self.weights.shape[1], *latents.shape, device=latents.device)
        history[0] = latents
        if noises is not None:
            history[2::2] = noises
        return history

    def advance(self, history: Tensor, step: int, predicted: Tensor) -> Tensor:
        """Put the prediction of a step into the history, and return the latents [B, C, h, w] after the step.

        Args:
            history: See `begin`.
            step: 0..S - 1.
            predicted: [B, C, h, w].
        """
        per_step = 1 + self.adds_noise
        history[1 + per_step * step] = predicted
        num_known = 1 + per_step * (step + 1)
        return torch.tensordot(self.weights[step, :num_known], history[:num_known], dims=1)


def build_scheduler(schedule: DDIMScheduler, recipe: StylizeRecipe) -> Scheduler:
    """Build diffusers' scheduler of a recipe on a base model's noise schedule, set to its steps."""
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "ddim": (DDIMScheduler, {}),
        "unipc": (UniPCMultistepScheduler, {}),
        "dpm++2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
        "euler": (EulerDiscreteScheduler, _ON_TIMESTEPS),
        "euler_a": (EulerAncestralDiscreteScheduler, {"timestep_spacing": "trailing"}),
        "lcm": (LCMScheduler, {}),
    }
    kind, options = kinds[recipe.solver]
    spacing = {} if recipe.spacing == "auto" else {"timestep_spacing": recipe.spacing}
    scheduler = kind.from_config(schedule.config, **_LINEAR | options | spacing)
    if recipe.solver == "lcm" and spacing:
        _set_spaced(scheduler, kinds["ddim"][0].from_config(schedule.config, **spacing), recipe.steps)
    else:
        scheduler.set_timesteps(recipe.steps)
    return scheduler


def start_at_strength(scheduler: Scheduler, recipe: StylizeRecipe) -> list[int]:
    """Set a scheduler to start at the recipe's strength; returns the timesteps that are left, falling."""
    begin = len(scheduler.timesteps) - count_steps(recipe)
    if not isinstance(scheduler, DDIMScheduler):
        scheduler.set_begin_index(begin)
    return [int(timestep) for timestep in scheduler.timesteps[begin:]]


def _set_spaced(scheduler: LCMScheduler, spaced: Any, steps: int) -> None:
    """Set a consistency model's scheduler to timesteps outside the schedule that it chooses from by itself."""
    spaced.set_timesteps(steps)
    every_timestep = scheduler.config.num_train_timesteps
    scheduler.set_timesteps(timesteps=spaced.timesteps.tolist(), original_inference_steps=every_timestep)


def _scale(scheduler: Any, timesteps: list[int]) -> float:
    """Return by what the UNet's latents are smaller than the scheduler's before its next step, 0..1."""
    return float(scheduler.scale_model_input(torch.ones(1, dtype=torch.float64), float(timesteps[0])))


def _add_unit(scheduler: Any, predicted: Tensor, noise: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
    """Take a step that adds noise with `noise` in place of the scheduler's own; each [1, K] float64."""
    nothing = torch.zeros_like(latents)
    drawn = torch.randn(latents.shape, dtype=latents.dtype, generator=_generator())
    silent = copy.deepcopy(scheduler).step(nothing, timestep, nothing, generator=_generator(), return_dict=False)[0]
    after = scheduler.step(predicted, timestep, latents, generator=_generator(), return_dict=False)[0]
    amount = (silent * drawn).sum() / drawn.square().sum()
    return (after - silent).double() + amount * noise


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(_ANY_SEED)
