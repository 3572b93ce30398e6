"""How a photo's latents are noised before they are denoised in a style.

Shape legend: B batch, C x h x w latents, L x D an encoded prompt; latents float32, scaled.

Source: ArtBank, Zhang et al., AAAI 2024, section "Stochastic Inversion"; InST, Zhang et al., CVPR 2023, section 3.3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.unet import PromptCache


def photo_seed(run_seed: int, key: str) -> int:
    """Return the seed, 0..2**63 - 1, of one photo: equal for equal run seed and key, whatever is beside it."""
    digest = hashlib.sha256(f"{run_seed}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draw_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Draw standard normal noise [B, *shape] on CPU, each sample from its own seed."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def add_noise(base: BaseModel, clean: Tensor, noise: Tensor, timestep: int) -> Tensor:
    """Return q_sample: sqrt(abar_t) clean + sqrt(1 - abar_t) noise."""
    of_image, of_noise = base.noise_scales(timestep)
    return of_image * clean + of_noise * noise


@torch.no_grad()
def invert_stochastically(
    base: BaseModel, clean: Tensor, noise: Tensor, timestep: int, prompts: Tensor | PromptCache
) -> Tensor:
    """Noise latents with the noise that the model sees in them: one evaluation, which keeps the photo's structure.

    Args:
        base: The frozen model.
        clean: [B, C, h, w].
        noise: Random noise of that shape, in which the model looks for structure.
        timestep: Where denoising will start.
        prompts: Encoded, in the style; see `BaseModel.predict`.
    """
    noised = add_noise(base, clean, noise, timestep)
    predicted = base.implied_noise(base.predict(noised, timestep, prompts), noised, timestep)
    return add_noise(base, clean, predicted, timestep)


@torch.no_grad()
def invert_ddim(base: BaseModel, clean: Tensor, timesteps: Sequence[int], prompts: Tensor | PromptCache) -> Tensor:
    """Run DDIM backwards (Song et al., ICLR 2021, eq. 14): deterministic, one evaluation a step.

    Args:
        base: The frozen model.
        clean: [B, C, h, w].
        timesteps: Those that denoising will execute, falling.
        prompts: Encoded, neutral: what the photo is; see `BaseModel.predict`.
    """
    latents, alpha = clean, base.scheduler.final_alpha_cumprod.item()
    of_image, of_noise = alpha**0.5, (1 - alpha) ** 0.5
    for timestep in reversed(timesteps):
        noise = base.implied_noise(base.predict(latents, timestep, prompts), latents, timestep)
        origin = (latents - of_noise * noise) / of_image
        of_image, of_noise = base.noise_scales(timestep)
        latents = of_image * origin + of_noise * noise
    return latents
