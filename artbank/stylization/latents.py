"""The latents of photos, inverted and denoised in a style.

Shape legend: B batch, L x D an encoded prompt (see `diffusion.text_encoders`), C x h x w latents.

What acts on the latents while they are denoised belongs here; how photos become latents and latents become pictures is
in `stylizer`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.recipes import StylizeRecipe, is_guided
from artbank.stylization.inversion import add_noise, invert_ddim, invert_stochastically
from artbank.stylization.solvers import SolverTable
from artbank.stylization.structure import pull_to_photo, pull_weight
from artbank.stylization.style import Style, encode_style


class LatentStylizer:
    """A base model, the encoded prompts of some styles, and the solver of a recipe.

    Attributes:
        neutral: The recipe's prompt without a style, [1, L, D].
        prompts: The prompt of each style by its name, each [1, L, D].
    """

    @torch.no_grad()
    def __init__(self, base: BaseModel, styles: Sequence[Style], recipe: StylizeRecipe):
        """Encode every prompt once, and cache what the UNet computes from it."""
        self.base = base
        self.recipe = recipe
        self.neutral, negative = base.encode_prompts([recipe.prompt, recipe.negative_prompt]).split(1)
        negative = base.text_encoders.encode_negative(negative, recipe.negative_prompt)
        self.prompts = {style.name: encode_style(base, recipe, style, self.neutral) for style in styles}
        cache = base.denoiser.cache_prompts
        self._neutral = cache(self.neutral)
        self._styled = {name: cache(prompt) for name, prompt in self.prompts.items()}
        self._guided = {name: cache(torch.cat([negative, prompt])) for name, prompt in self.prompts.items()}
        self._solver = SolverTable.from_recipe(base.scheduler, recipe, base.device)

    def with_recipe(self, recipe: StylizeRecipe) -> LatentStylizer:
        """Return the same for a recipe that differs in seed, structure or strength; nothing is encoded again."""
        other = copy.copy(self)
        other.recipe = recipe
        if recipe.strength != self.recipe.strength:
            other._solver = SolverTable.from_recipe(self.base.scheduler, recipe, self.base.device)
        return other

    @torch.no_grad()
    def stylize(self, clean: Tensor, noise: Tensor, style: str, structure: float = 0.0) -> Tensor:
        """Invert the latents of photos and denoise them in a style.

        Args:
            clean: [B, C, h, w].
            noise: Random noise of that shape.
            style: Its name.
            structure: 0..1, see `StylizeRecipe.structure`.

        Returns:
            [B, C, h, w] float32.
        """
        weight = pull_weight(structure)
        latents = self._invert(clean, noise, style)
        history = torch.empty(len(self._solver.timesteps) + 1, *latents.shape, device=latents.device)
        history[0] = latents
        for step, timestep in enumerate(self._solver.timesteps):
            predicted = self._predict(latents, step, timestep, style)
            if weight:
                predicted = pull_to_photo(self.base, predicted, latents, clean, timestep, weight)
            history[step + 1] = predicted
            latents = self._solver.advance(history, step)
        return latents

    def _invert(self, clean: Tensor, noise: Tensor, style: str) -> Tensor:
        first = self._solver.timesteps[0]
        if not self.recipe.aligned:
            first = round(self.recipe.strength * self.base.num_train_timesteps)
        if self.recipe.inversion == "stochastic":
            return invert_stochastically(self.base, clean, noise, first, self._styled[style])
        if self.recipe.inversion == "ddim":
            return invert_ddim(self.base, clean, self._solver.timesteps, self._neutral)
        return add_noise(self.base, clean, noise, first)

    def _predict(self, latents: Tensor, step: int, timestep: int, style: str) -> Tensor:
        """Predict the noise, with classifier-free guidance in the steps that the recipe guides."""
        if not is_guided(self.recipe, step):
            return self.base.predict(latents, timestep, self._styled[style])
        without, within = self.base.predict(latents, timestep, self._guided[style], num_prompts=2).chunk(2)
        return torch.lerp(without, within, self.recipe.guidance)
