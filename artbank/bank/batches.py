"""What one bank is shown at a step, drawn from its recipe's seed and the step's number, and what it is judged by.

Shape legend: B samples, V views, C x h x w latents.

All is drawn on CPU, so that it is the same on every device and whatever else is trained in the same batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from artbank.bank.dataset import TEMPLATES, LatentDataset
from artbank.recipes import BankRecipe

_LEVELS = 4  # of noise, at which each view is judged
_MOST_VIEWS = 8
_STEP_SEEDS, _VALIDATION_SEED = 1_000_003, 7_919


@dataclass(frozen=True)
class Batch:
    """Samples of one bank, on CPU.

    Attributes:
        latents: Clean, [B, C, h, w] float32.
        noise: Likewise.
        timesteps: [B], 0..999.
        prompts: B texts, with `{style}` for the bank.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    prompts: list[str]

    def __len__(self) -> int:
        return len(self.latents)


def draw_batch(learned: LatentDataset, recipe: BankRecipe, step: int, highest: int) -> Batch:
    """Draw what is learned from at a step.

    Args:
        learned: Crops to draw from.
        recipe: Gives the seed, B, and how often captions are dropped.
        step: Its number.
        highest: Timesteps stay below it.
    """
    generator = torch.Generator().manual_seed(recipe.seed * _STEP_SEEDS + step)
    picks = torch.randint(len(learned), (recipe.batch_size,), generator=generator)
    prompts = [learned.prompt(int(pick), generator, recipe.caption_dropout) for pick in picks]
    latents = learned.sample(picks, generator)
    noise = torch.randn(latents.shape, generator=generator)
    return Batch(latents, noise, torch.randint(highest, (len(picks),), generator=generator), prompts)


def fix_validation(held_out: LatentDataset, highest: int) -> Batch:
    """Fix views, noise and timesteps of all validations: every view at evenly spread noise levels below `highest`."""
    generator = torch.Generator().manual_seed(_VALIDATION_SEED)
    count = min(_MOST_VIEWS, len(held_out))
    spread = torch.linspace(0, len(held_out) - 1, count).round().long()
    levels = ((torch.arange(_LEVELS) + 0.5) / _LEVELS * highest).long()
    latents = held_out.mean[spread]
    noise = [torch.randn(latents.shape, generator=generator) for _ in levels]
    prompts = [held_out.describe(int(view), TEMPLATES[0]) for view in spread]
    return Batch(latents.repeat(_LEVELS, 1, 1, 1), torch.cat(noise), levels.repeat_interleave(count), prompts * _LEVELS)
