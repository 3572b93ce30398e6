"""The latents of photos, inverted and denoised in a style.

Shape legend: B batch, L x D an encoded prompt (see `diffusion.text_encoders`), C x h x w latents, G prompts of a
cache.

This module acts on latents while they are denoised; `stylizer` turns photos into latents and latents into pictures.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.controlnet import ControlImages
from artbank.diffusion.prompt_encoder import without_placeholder
from artbank.diffusion.prompted_network import PromptCache
from artbank.diffusion.unet import DeepFeatures
from artbank.parameters.recipe_costs import is_guided, is_whole
from artbank.recipes import StylizeRecipe
from artbank.stylization.controls import NO_CONTROLS, Controls
from artbank.stylization.inversion import invert_ddim, invert_stochastically
from artbank.stylization.solvers import SolverTable
from artbank.stylization.structure import pull_to_photo, pull_weights
from artbank.stylization.style import Style, encode_style


@dataclass(frozen=True)
class EncodedCaptions:
    """The captions of a batch, encoded without a style.

    Attributes:
        texts: B prompts: the captions, or the recipe's prompt where a photo has none.
        neutral: The same, encoded, [B, L, D].
        cached: The same, cached for the base model's UNet; None unless the recipe inverts with it.
    """

    texts: tuple[str, ...]
    neutral: Tensor
    cached: PromptCache | None


@dataclass(frozen=True)
class _Prompts:
    """The prompts of a batch in a style, cached for the networks: one that all photos share, or one for each.

    Attributes:
        model: The base model that draws the style, see `Style.adapt`.
        styled: In the style, G is 1 or B; the last ones of `guided`.
        guided: The negative prompts and the styled ones, G is 2 or 2 B; without guidance the styled ones alone.
        control_styled: The styled prompts for each ControlNet.
        control_guided: The guided ones for each ControlNet.
    """

    model: BaseModel
    styled: PromptCache
    guided: PromptCache
    control_styled: tuple[PromptCache, ...] = ()
    control_guided: tuple[PromptCache, ...] = ()

    @classmethod
    def cache(cls, model: BaseModel, controls: Controls, styled: Tensor, negative: Tensor | None) -> Self:
        """Cache encoded prompts [B, L, D], or [1, L, D] that all photos share.

        Args:
            model: The base model that draws the style.
            controls: The ControlNets.
            styled: The prompts in the style.
            negative: The negative prompt, [1, L, D]; None if no step is guided.
        """
        count = len(styled)
        prompts = styled if negative is None else torch.cat([negative.expand(count, -1, -1), styled])
        guided = model.denoiser.cache_prompts(prompts)
        of_controls = controls.cache_prompts(prompts)
        return cls(
            model,
            guided.last(count),
            guided,
            control_styled=tuple(cache.last(count) for cache in of_controls),
            control_guided=of_controls,
        )


class LatentStylizer:
    """A base model, the encoded prompts of some styles, and the solver of a recipe.

    Attributes:
        neutral: The recipe's prompt without a style, [1, L, D].
        prompts: The prompt of each style by its name, each [1, L, D].
    """

    @torch.no_grad()
    def __init__(
        self, base: BaseModel, styles: Sequence[Style], recipe: StylizeRecipe, controls: Controls = NO_CONTROLS
    ):
        """Encode every prompt once, and cache what the networks compute from it."""
        self.base = base
        self._controls = controls
        self.recipe = recipe
        self._styles = {style.name: style for style in styles}
        self.neutral, negative = base.encode_prompts([recipe.prompt, recipe.negative_prompt]).split(1)
        self._negative = None
        if recipe.guidance > 1:
            self._negative = base.text_encoders.encode_negative(negative, recipe.negative_prompt)
        self._cached_neutral = self._cache_neutral(self.neutral)
        encoded = (encode_style(base, [recipe.prompt], style, self.neutral, recipe.style_weight) for style in styles)
        self.prompts = dict(zip(self._styles, encoded, strict=True))
        self._models = {style.name: style.adapt(base, recipe.style_weight) for style in styles}
        self._shared = {name: self._cache(name, prompt) for name, prompt in self.prompts.items()}
        self._solver = SolverTable.from_recipe(base.scheduler, recipe, base.device)

    def with_recipe(self, recipe: StylizeRecipe) -> LatentStylizer:
        """Return the same for a recipe that differs in seed, structure or strength; nothing is encoded again."""
        other = copy.copy(self)
        other.recipe = recipe
        if recipe.strength != self.recipe.strength:
            other._solver = SolverTable.from_recipe(self.base.scheduler, recipe, self.base.device)
        return other

    @property
    def num_step_noises(self) -> int:
        """The noises that the steps of one picture take; 0 with a solver that adds none."""
        return self._solver.num_noises

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str]) -> EncodedCaptions:
        """Encode the captions of B photos once for all styles; an empty one is replaced by the recipe's prompt."""
        texts = tuple(without_placeholder(caption).strip() or self.recipe.prompt for caption in captions)
        neutral = self.base.encode_prompts(texts)  # [B, L, D]
        return EncodedCaptions(texts, neutral, self._cache_neutral(neutral))

    @torch.no_grad()
    def stylize(
        self,
        clean: Tensor,
        noise: Tensor,
        style: str,
        structure: float = 0.0,
        *,
        step_noise: Tensor | None = None,
        captions: EncodedCaptions | None = None,
        control_images: Sequence[ControlImages] = (),
    ) -> Tensor:
        """Invert the latents of photos and denoise them in a style.

        Args:
            clean: [B, C, h, w].
            noise: Random noise of that shape.
            style: Its name.
            structure: 0..1, see `StylizeRecipe.structure`.
            step_noise: Noise of the steps, [`num_step_noises`, B, C, h, w]; None if they take none.
            captions: See `encode_captions`; None if all photos take the recipe's prompt.
            control_images: What each ControlNet sees of the photos, see `Controls.embed_photos`.

        Returns:
            [B, C, h, w] float32.
        """
        weights = pull_weights(clean, structure) if structure else None
        prompts = self._shared[style] if captions is None else self._add_style(captions, style)
        neutral = self._cached_neutral if captions is None else captions.cached
        latents = self._invert(clean, noise, prompts, neutral)
        history = self._solver.begin(latents, step_noise)
        deep = None
        for step, timestep in enumerate(self._solver.timesteps):
            if self.recipe.reuse > 1 and self._is_whole(step):
                deep = DeepFeatures()
            predicted = self._predict(latents, step, timestep, prompts, control_images, deep)
            if weights is not None:
                predicted = pull_to_photo(self.base, predicted, latents, clean, timestep, weights)
            latents = self._solver.advance(history, step, predicted)
        return latents

    def _add_style(self, captions: EncodedCaptions, style: str) -> _Prompts:
        tokens = self._styles[style]
        return self._cache(
            style, encode_style(self.base, captions.texts, tokens, captions.neutral, self.recipe.style_weight)
        )

    def _cache(self, style: str, styled: Tensor) -> _Prompts:
        return _Prompts.cache(self._models[style], self._controls, styled, self._negative)

    def _cache_neutral(self, neutral: Tensor) -> PromptCache | None:
        return self.base.denoiser.cache_prompts(neutral) if self.recipe.inversion == "ddim" else None

    def _invert(self, clean: Tensor, noise: Tensor, prompts: _Prompts, neutral: PromptCache | None) -> Tensor:
        first = self._solver.timesteps[0]
        if not self.recipe.aligned:
            num_timesteps = self.base.num_train_timesteps
            first = min(round(self.recipe.strength * num_timesteps), num_timesteps - 1)
        if self.recipe.inversion == "stochastic":
            return invert_stochastically(prompts.model, clean, noise, first, prompts.styled)
        if self.recipe.inversion == "ddim":
            assert neutral is not None
            return invert_ddim(self.base, clean, self._solver.timesteps, neutral)
        return self.base.noise_schedule.add_noise(clean, noise, first)

    def _is_whole(self, step: int) -> bool:
        """Return whether a step runs the whole UNet: by `is_whole`, or because other ControlNets act than before."""
        if is_whole(self.recipe, step):
            return True
        num_steps = len(self._solver.timesteps)
        return self._controls.acting((step, num_steps)) != self._controls.acting((step - 1, num_steps))

    def _predict(
        self,
        latents: Tensor,
        step: int,
        timestep: int,
        prompts: _Prompts,
        control_images: Sequence[ControlImages],
        deep: DeepFeatures | None,
    ) -> Tensor:
        """Predict the noise, with classifier-free guidance in the steps that the recipe guides."""
        guided = is_guided(self.recipe, step)
        of_unet, of_controls = prompts.styled, prompts.control_styled
        if guided:
            of_unet, of_controls = prompts.guided, prompts.control_guided
        count = 1 + guided
        place = (step, len(self._solver.timesteps))
        is_outer = deep is not None and deep.planes is not None
        added = self._controls.predict(
            latents, timestep, place, of_controls, control_images, num_prompts=count, is_outer=is_outer
        )
        predicted = prompts.model.predict(latents, timestep, of_unet, num_prompts=count, residuals=added, deep=deep)
        if not guided:
            return predicted
        without, within = predicted.chunk(2)
        return torch.lerp(without, within, self.recipe.guidance)
