"""Training batches, seeded by recipe and step, and the fixed validation batch.

Shape legend: B examples, V crops, C x h x w latents.

All random numbers are drawn on CPU, so that they are the same on every device and with any other banks in the batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from artbank.bank.dataset import TEMPLATES, LatentDataset
from artbank.recipes import BankRecipe

_NOISE_LEVELS = 4  # of the validation, for each crop
_MOST_CROPS = 8  # in the validation
_STEP_SEEDS = 1_000_003
_VALIDATION_SEED = 7_919


@dataclass(frozen=True)
class Batch:
    """Examples of one bank, on CPU.

    Attributes:
        latents: Clean latents, [B, C, h, w] float32.
        noise: The noise to add, [B, C, h, w] float32.
        timesteps: [B], 0..999.
        prompts: B texts, with `{style}` for the bank.
        sizes: [B, 6] sizes of the crops, see `LatentDataset`.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    prompts: list[str]
    sizes: Tensor

    def __len__(self) -> int:
        return len(self.latents)


def draw_batch(learned: LatentDataset, recipe: BankRecipe, step: int, num_timesteps: int) -> Batch:
    """Draw the examples of one step.

    Args:
        learned: Crops to draw from.
        recipe: Gives the seed, B, and how often captions are dropped.
        step: The step's number.
        num_timesteps: Timesteps are drawn below this number.
    """
    generator = torch.Generator().manual_seed(recipe.seed * _STEP_SEEDS + step)
    picks = torch.randint(len(learned), (recipe.batch_size,), generator=generator)
    prompts = [learned.draw_prompt(int(pick), generator, recipe.caption_dropout) for pick in picks]
    latents = learned.draw_latents(picks, generator)
    noise = torch.randn(latents.shape, generator=generator)
    timesteps = torch.randint(num_timesteps, (len(picks),), generator=generator)
    return Batch(latents, noise, timesteps, prompts, learned.sizes[picks])


def make_validation_batch(held_out: LatentDataset, num_timesteps: int) -> Batch:
    """Return the batch of every validation: some crops, each at evenly spread noise levels below `num_timesteps`."""
    generator = torch.Generator().manual_seed(_VALIDATION_SEED)
    count = min(_MOST_CROPS, len(held_out))
    picks = torch.linspace(0, len(held_out) - 1, count).round().long()
    levels = ((torch.arange(_NOISE_LEVELS) + 0.5) / _NOISE_LEVELS * num_timesteps).long()
    latents = held_out.mean[picks]
    noise = [torch.randn(latents.shape, generator=generator) for _ in levels]
    prompts = [held_out.make_prompt(int(pick), TEMPLATES[0]) for pick in picks]
    return Batch(
        latents=latents.repeat(_NOISE_LEVELS, 1, 1, 1),
        noise=torch.cat(noise),
        timesteps=levels.repeat_interleave(count),
        prompts=prompts * _NOISE_LEVELS,
        sizes=held_out.sizes[picks].repeat(_NOISE_LEVELS, 1),
    )
