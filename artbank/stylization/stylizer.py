"""Photos into pictures in the style of banks.

Shape legend: B batch, L x D an encoded prompt, C x h x w latents; pictures uint8 [H, W, 3] sRGB.

A picture depends on its photo, key, style and recipe alone: noise is drawn for each photo on CPU from its own seed. In
another batch the same networks may sum in another order, which moves single pixels by at most 2 of 255 in float32.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from artbank.bank.bank import Bank
from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.prompt_encoder import STYLE_PLACEHOLDER
from artbank.diffusion.tensors import download, to_8_bit, to_images, upload
from artbank.errors import ConfigError, ImageError
from artbank.images.color_transfer import Palette, keep_colours, match_palette
from artbank.images.framing import Photo
from artbank.recipes import StylizeRecipe, is_guided
from artbank.runtime.prefetch import batch_by
from artbank.stylization.inversion import add_noise, draw_noise, invert_ddim, invert_stochastically, photo_seed
from artbank.stylization.solvers import SolverTable

logger = logging.getLogger(__name__)

_BLACK = 8  # of 255; a picture with nothing lighter is what a model in half precision gives when it overflows
_NOT_FINITE = ImageError("the model gave no picture: values that are not finite, or black", "not_finite")
_VAE_BATCH = 4  # decoding needs far more memory a sample than denoising


@dataclass(frozen=True)
class Style:
    """One bank or a weighted mix; without a bank it is the prompt alone.

    Attributes:
        name: Folder of its pictures.
        banks: With their weights, which sum to 1.
        palette: Colours of the collection, for the colour policy `collection`.
    """

    name: str
    banks: tuple[tuple[Bank, float], ...] = ()
    palette: Palette | None = None


@dataclass(frozen=True)
class Stylized:
    """One photo in one style, at its working size: uint8 [h, w, 3].

    Where there is no picture `rgb` is None, and `error` says why. `on_device` is the same picture where the model drew
    it, uint8 [3, h, w]; None if its colours were changed since.
    """

    key: str
    style: str
    seed: int
    rgb: np.ndarray | None = field(repr=False)
    error: ImageError | None = None
    on_device: Tensor | None = field(default=None, repr=False, compare=False)


class Stylizer:
    """A base model, some styles and a recipe, ready to take photos."""

    def __init__(self, base: BaseModel, styles: Sequence[Style], recipe: StylizeRecipe):
        """Encode every prompt once.

        Raises:
            BankError: A bank was trained on another base model.
            ConfigError: The recipe asks for a collection's colours, which a style does not have.
        """
        for style in styles:
            for bank, _ in style.banks:
                bank.check_fits(base)
            if recipe.colour == "collection" and style.palette is None:
                raise ConfigError(f"style {style.name} brings no colours; pass colour=free or keep")
        self.base, self.styles, self.recipe = base, tuple(styles), recipe
        with torch.no_grad():
            self.neutral, negative = base.encode_prompts([recipe.prompt, recipe.negative_prompt]).split(1)
            self.prompts = {style.name: self._encode(style) for style in styles}  # each [1, L, D]
            cache_prompts = base.denoiser.cache_prompts
            self._neutral = cache_prompts(self.neutral)
            self._styled = {name: cache_prompts(prompt) for name, prompt in self.prompts.items()}
            self._guided = {name: cache_prompts(torch.cat([negative, prompt])) for name, prompt in self.prompts.items()}
        self._solver = SolverTable.of(base.scheduler, recipe, base.device)

    @property
    def short_px(self) -> int:
        """Short side of the working size, px."""
        return self.recipe.resolution_px or self.base.native_px

    def prepare(self, key: str, rgb: np.ndarray) -> Photo:
        """Bring a photo uint8 [H, W, 3] to the size that it is worked on."""
        return Photo.prepare(key, rgb, short_px=self.short_px, multiple_px=self.base.size_multiple_px)

    def stylize(
        self, photos: Iterable[Photo], *, styles: Sequence[str] | None = None, batch_size: int = 8
    ) -> Iterator[Stylized]:
        """Yield every photo in every style, batch by batch of equal working size.

        Args:
            photos: See `fit`; in any order and of any sizes.
            styles: Names of the styles wanted; all when None.
            batch_size: Photos that go through the model at once.
        """
        for batch in batch_by(photos, lambda photo: photo.bucket, batch_size):
            yield from self.stylize_batch(batch, styles)

    def stylize_batch(self, batch: Sequence[Photo], styles: Sequence[str] | None = None) -> Iterator[Stylized]:
        """Yield a batch in every style; halved, as often as it takes, where it does not fit in memory.

        Args:
            batch: Photos of one bucket.
            styles: Names of the styles wanted; all when None.
        """
        yield from self._stylize_patiently(batch, [s for s in self.styles if styles is None or s.name in styles])

    @torch.no_grad()
    def stylize_latents(self, clean: Tensor, noise: Tensor, style: str) -> Tensor:
        """Invert latents [B, C, h, w] and denoise them in a style; `noise` has their shape."""
        latents = self._invert(clean, noise, style)
        history = torch.empty(len(self._solver.timesteps) + 1, *latents.shape, device=latents.device)
        history[0] = latents
        for step, timestep in enumerate(self._solver.timesteps):
            history[step + 1] = self._predict(latents, step, timestep, style)
            latents = self._solver.advance(history, step)
        return latents

    def _predict(self, latents: Tensor, step: int, timestep: int, style: str) -> Tensor:
        if not is_guided(self.recipe, step):
            return self.base.predict(latents, timestep, self._styled[style])
        without, within = self.base.predict(latents, timestep, self._guided[style], num_prompts=2).chunk(2)
        return torch.lerp(without, within, self.recipe.guidance)

    def _invert(self, clean: Tensor, noise: Tensor, style: str) -> Tensor:
        first = self._solver.timesteps[0]
        if not self.recipe.aligned:
            first = round(self.recipe.strength * self.base.num_train_timesteps)
        if self.recipe.inversion == "stochastic":
            return invert_stochastically(self.base, clean, noise, first, self._styled[style])
        if self.recipe.inversion == "ddim":
            return invert_ddim(self.base, clean, self._solver.timesteps, self._neutral)
        return add_noise(self.base, clean, noise, first)

    def _stylize_patiently(self, batch: Sequence[Photo], styles: Sequence[Style]) -> Iterator[Stylized]:
        left = list(styles)
        try:
            for made in self._stylize_batch(batch, styles):
                whole = self._redraw_lost(batch, made)
                left.pop(0)
                yield from whole
            return
        except (torch.OutOfMemoryError, MemoryError) as error:
            logger.warning("%d pictures at once do not fit in memory: %s", len(batch), error)
        # Not in the handler: the error holds on to what it happened in, and so to the memory.
        if self.base.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(batch) == 1:
            yield from (self._lose(batch[0], style, _memory_error(batch[0])) for style in left)
            return
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            yield from self._stylize_patiently(half, left)

    def _stylize_batch(self, batch: Sequence[Photo], styles: Sequence[Style]) -> Iterator[list[Stylized]]:
        """Yield the pictures of a batch, style by style."""
        images = upload([photo.padded for photo in batch], self.base.device)
        clean = torch.cat([self.base.encode_images(to_images(part))[0] for part in images.split(_VAE_BATCH)])
        seeds = [photo_seed(self.recipe.seed, photo.key) for photo in batch]
        noise = draw_noise(seeds, tuple(clean.shape[1:])).to(clean)
        for style in styles:
            latents = self.stylize_latents(clean, noise, style.name)
            yield self._finish(batch, style, [self.base.decode_latents(part) for part in latents.split(_VAE_BATCH)])

    def _finish(self, batch: Sequence[Photo], style: Style, decoded: Sequence[Tensor]) -> list[Stylized]:
        """Make pictures of what the model drew, images [B, 3, H', W'] in parts."""
        finite = torch.cat([part.isfinite().flatten(1).all(1) for part in decoded])
        drawn = torch.cat([to_8_bit(part) for part in decoded])
        pictures, seed = download(drawn), self.recipe.seed
        made = []
        for photo, image, picture, is_finite in zip(batch, drawn, pictures, finite.tolist(), strict=True):
            if is_finite and (picture.max() > _BLACK or photo.padded.max() <= _BLACK):
                frame, own = photo.frame, self.recipe.colour == "free"
                rgb = self._colour(frame.cut(picture), photo, style)
                on_device = image[:, : frame.height_px, : frame.width_px] if own else None
                made.append(Stylized(photo.key, style.name, photo_seed(seed, photo.key), rgb, on_device=on_device))
            else:
                made.append(self._lose(photo, style, _NOT_FINITE))
        return made

    def _redraw_lost(self, batch: Sequence[Photo], made: list[Stylized]) -> list[Stylized]:
        """Draw once more in float32 what half precision has lost; as before where it was float32 already."""
        lost = {one.key for one in made if one.rgb is None}
        if not lost or self.base.dtype == torch.float32:
            return made
        logger.warning("%d pictures came out empty in %s and are drawn again in float32", len(lost), self.base.dtype)
        again = [photo for photo in batch if photo.key in lost]
        [style] = [style for style in self.styles if style.name == made[0].style]
        [redrawn] = self._in_float32._stylize_batch(again, [style])
        by_key = {one.key: one for one in redrawn}
        return [by_key.get(one.key, one) for one in made]

    @cached_property
    def _in_float32(self) -> Stylizer:
        return Stylizer(self.base.float32_copy, self.styles, self.recipe)

    def _lose(self, photo: Photo, style: Style, error: ImageError) -> Stylized:
        return Stylized(photo.key, style.name, photo_seed(self.recipe.seed, photo.key), None, error)

    def _colour(self, picture: np.ndarray, photo: Photo, style: Style) -> np.ndarray:
        if self.recipe.colour == "keep":
            picture = keep_colours(picture, photo.working)
        elif self.recipe.colour == "collection" and style.palette is not None:
            picture = match_palette(picture, style.palette)
        return np.ascontiguousarray(picture)

    def _encode(self, style: Style) -> Tensor:
        """Mix the styled prompts by weight, then go from the neutral one toward them by the style weight."""
        if not style.banks:
            return self.neutral
        prompt = f"{self.recipe.prompt}, in the style of {STYLE_PLACEHOLDER}"
        parts = [weight * self.base.encode_prompts([prompt], bank.vectors) for bank, weight in style.banks]
        return torch.lerp(self.neutral, torch.stack(parts).sum(0), self.recipe.style_weight)


def _memory_error(photo: Photo) -> ImageError:
    size = f"{photo.frame.padded_width_px} x {photo.frame.padded_height_px} px"
    return ImageError(f"not enough memory for one picture of {size}; lower resolution_px", "out_of_memory")
