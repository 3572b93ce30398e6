"""Noise the latents of a photo, so that they can be denoised in a style.

Shape legend: B batch, C x h x w latents, L x D an encoded prompt; latents float32, scaled.

Source: ArtBank, Zhang et al., AAAI 2024, section "Stochastic Inversion"; InST, Zhang et al., CVPR 2023, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompted_network import PromptCache
from artbank.runtime.hashing import short_hash


def photo_seed(run_seed: int, key: str) -> int:
    """Return the seed of one photo, 0..2**63 - 1; it depends on the run's seed and the photo's key alone."""
    return int(short_hash(f"{run_seed}\n{key}"), 16) >> 1


def draw_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Draw standard normal noise [B, *shape] on CPU, each sample from its own seed."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def draw_step_noise(seeds: Sequence[int], shape: tuple[int, ...], num_steps: int) -> Tensor:
    """Draw the noise [num_steps, B, *shape] that a solver adds; each sample's goes on where `draw_noise` ended."""
    samples = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        torch.randn(shape, generator=generator)
        samples.append(torch.stack([torch.randn(shape, generator=generator) for _ in range(num_steps)]))
    return torch.stack(samples, dim=1)


@torch.no_grad()
def invert_stochastically(
    base: BaseModel, clean: Tensor, noise: Tensor, timestep: int, prompts: Tensor | PromptCache
) -> Tensor:
    """Noise latents with the noise that the model predicts for them: one evaluation, which keeps the structure.

    Args:
        base: The frozen model.
        clean: [B, C, h, w].
        noise: Random noise of that shape; the model's prediction from it carries the photo's structure.
        timestep: Where denoising will start.
        prompts: Encoded, in the style; see `BaseModel.predict`.
    """
    schedule = base.noise_schedule
    noised = schedule.add_noise(clean, noise, timestep)
    implied = schedule.implied_noise(base.predict(noised, timestep, prompts), noised, timestep)
    return schedule.add_noise(clean, implied, timestep)


@torch.no_grad()
def invert_ddim(base: BaseModel, clean: Tensor, timesteps: Sequence[int], prompts: Tensor | PromptCache) -> Tensor:
    """Run DDIM backwards (Song et al., ICLR 2021, eq. 14): deterministic, one evaluation a step.

    Args:
        base: The frozen model.
        clean: [B, C, h, w].
        timesteps: Those that denoising will execute, falling.
        prompts: Encoded, the neutral prompt, which describes the photo; see `BaseModel.predict`.
    """
    schedule = base.noise_schedule
    latents = clean
    alpha, sigma = schedule.first_scales  # of the latents, which are one step below the timestep
    for timestep in reversed(timesteps):
        noise = schedule.implied_noise(base.predict(latents, timestep, prompts), latents, timestep)
        origin = (latents - sigma * noise) / alpha
        alpha, sigma = schedule.scales(timestep)
        latents = alpha * origin + sigma * noise
    return latents
