"""Turn photos into pictures in the style of banks.

Shape legend: B batch, C x h x w latents; pictures uint8 [H, W, 3] sRGB.

A picture depends on its photo, key, style and recipe alone: the noise of each photo is drawn on CPU from a seed of its
own. In a batch of another size the same networks may sum in another order, which moves single pixels by at most 2 of
255 in float32.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.diffusion.tensors import copy_to_device, to_images, upload
from artbank.errors import ImageError
from artbank.images.framing import MAX_ASPECT, Photo
from artbank.recipes import StylizeRecipe
from artbank.runtime.counts import number_text
from artbank.runtime.prefetch import batch_by
from artbank.stylization.batch_inputs import BatchInputs
from artbank.stylization.batch_limits import BatchLimits
from artbank.stylization.controls import NO_CONTROLS, Controls
from artbank.stylization.finishing import Finish, FinishedPicture, finish_pictures
from artbank.stylization.inversion import draw_noise, draw_step_noise, photo_seed
from artbank.stylization.latents import EncodedCaptions, LatentStylizer
from artbank.stylization.structure import KeptStructure
from artbank.stylization.style import Style

logger = logging.getLogger(__name__)

_NOT_FINITE = ImageError(
    "expected a picture, found values that are not finite, or black; "
    "lower guidance, or take another bank or base_model",
    "not_finite",
)


@dataclass(frozen=True)
class Stylized:
    """One photo in one style, at its working size.

    Attributes:
        key: The photo's key.
        style: The style's name.
        seed: Seed of the photo's noise.
        rgb: The picture, uint8 [h, w, 3]; None if there is none.
        error: Reason that there is no picture.
        on_device: The same picture on the model's device, uint8 [3, h, w].
        kept: The settings that were found for the photo; None without `keep_structure` in the recipe.
    """

    key: str
    style: str
    seed: int
    rgb: np.ndarray | None = field(repr=False)
    error: ImageError | None = None
    on_device: Tensor | None = field(default=None, repr=False, compare=False)
    kept: KeptStructure | None = None

    @property
    def is_loose(self) -> bool:
        """Whether it is a picture that has less structure than it must have."""
        return self.kept is not None and not self.kept.is_reached


class Stylizer:
    """A base model, some styles and a recipe, ready for photos.

    It draws no `candidates` and does not see to `reach_style`, which need scores: `archive.batch_drawing` does.
    """

    def __init__(
        self, base: BaseModel, styles: Sequence[Style], recipe: StylizeRecipe, controls: Controls = NO_CONTROLS
    ):
        """Check the styles, and encode every prompt once; captions of photos are encoded with their batch.

        Args:
            base: The base model.
            styles: The styles.
            recipe: How to draw.
            controls: ControlNets for the base model.

        Raises:
            BankError: A bank was trained on another base model.
            ConfigError: The recipe needs a collection's colours, and a style has none.
        """
        for style in styles:
            style.check_usable(base, recipe)
        self.base = base
        self.styles = tuple(styles)
        self.recipe = recipe
        self.controls = controls
        self._latents = LatentStylizer(base, styles, recipe, controls)
        self._limits = BatchLimits()

    def with_settings(self, **settings: int | float) -> Stylizer:
        """Return the same stylizer with another seed, structure or strength; nothing is encoded again."""
        other = copy.copy(self)
        other.recipe = self.recipe.model_copy(update=settings)
        other._latents = self._latents.with_recipe(other.recipe)
        return other

    @property
    def short_px(self) -> int:
        """Short side of the working size, px; see `max_aspect`."""
        return self.recipe.resolution_px or self.base.native_px

    @property
    def max_aspect(self) -> float:
        """Aspect from which on working sizes have one area; 1 where the native size is an area, and none was given."""
        return 1.0 if self.base.family.keeps_area and self.recipe.resolution_px is None else MAX_ASPECT

    def prepare(self, key: str, rgb: np.ndarray) -> Photo:
        """Resize a photo uint8 [H, W, 3] to its working size."""
        multiple_px = self.base.size_multiple_px
        return Photo.prepare(key, rgb, short_px=self.short_px, multiple_px=multiple_px, max_aspect=self.max_aspect)

    def stylize(
        self, photos: Iterable[Photo], *, styles: Sequence[str] | None = None, batch_size: int = 8
    ) -> Iterator[Stylized]:
        """Yield every photo in every style, in batches of one working size.

        Args:
            photos: See `prepare`; in any order and of any sizes.
            styles: Names of styles; all of them by default.
            batch_size: Photos that go through the model at once.
        """
        for batch in batch_by(photos, lambda photo: photo.bucket, batch_size):
            yield from self.stylize_batch(batch, styles)

    def stylize_batch(self, batch: Sequence[Photo], styles: Sequence[str] | None = None) -> Iterator[Stylized]:
        """Yield a batch in every style; a batch that does not fit in memory is halved until it does.

        Later batches of that size are split in the same way at once, also by the stylizers of `with_settings`.

        Args:
            batch: Photos of one bucket.
            styles: Names of styles; all of them by default.
        """
        chosen = [style for style in self.styles if styles is None or style.name in styles]
        yield from self._stylize_in_parts(batch, chosen)

    def _stylize_in_parts(self, batch: Sequence[Photo], styles: Sequence[Style]) -> Iterator[Stylized]:
        remaining = batch
        while remaining:
            part = self._limits.take(remaining)  # the part before may have lowered the limit
            yield from self._stylize_or_halve(part, styles)
            remaining = remaining[len(part) :]

    def _stylize_or_halve(self, batch: Sequence[Photo], styles: Sequence[Style]) -> Iterator[Stylized]:
        remaining = list(styles)
        # The copy goes with the batch: it is twice as large as the model, and made sooner than one picture is drawn.
        in_float32 = cache(partial(self._copy_in_float32, styles))
        try:
            for drawn in self._stylize_batch(batch, styles):
                pictures = self._redraw_failed(batch, drawn, in_float32)
                remaining.pop(0)
                yield from pictures
            return
        except (torch.OutOfMemoryError, MemoryError) as error:
            logger.warning("a batch of %s does not fit in memory: %s", number_text(len(batch), "picture"), error)
        # Outside of the handler, since the error keeps the frames that it passed, and so their memory, alive.
        if self.base.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(batch) == 1:
            yield from (self._fail(batch[0], style, _memory_error(batch[0])) for style in remaining)
            return
        self._limits.lower(batch)
        yield from self._stylize_in_parts(batch, remaining)

    def _stylize_batch(self, batch: Sequence[Photo], styles: Sequence[Style]) -> Iterator[list[Stylized]]:
        """Yield the pictures of a batch, style by style."""
        images = upload([photo.padded for photo in batch], self.base.device)
        clean, _ = self.base.encode_images(to_images(images))
        seeds = [photo_seed(self.recipe.seed, photo.key) for photo in batch]
        shape = tuple(clean.shape[1:])
        noise = copy_to_device(draw_noise(seeds, shape), clean.device)
        num_steps = self._latents.num_step_noises
        step_noise = copy_to_device(draw_step_noise(seeds, shape, num_steps), clean.device) if num_steps else None
        control_images = self.controls.embed_photos(batch, images)
        inputs = BatchInputs(batch, images, clean, noise, step_noise, control_images, self._encode_captions(batch))
        for style in styles:
            drawn = self._draw(inputs, style, self.recipe.structure)
            yield [self._draw_firmer(inputs, number, style, picture) for number, picture in enumerate(drawn)]

    def _encode_captions(self, photos: Sequence[Photo]) -> EncodedCaptions | None:
        if not self.recipe.photo_captions:
            return None
        return self._latents.encode_captions([photo.caption for photo in photos])

    def _draw_firmer(self, inputs: BatchInputs, number: int, style: Style, drawn: Stylized) -> Stylized:
        """Draw a picture that is not held enough again, with more structure; alone, so that no batch changes it.

        In its batch, with blank photos in place of the others, each further drawing would cost a whole batch, and
        rounding would depend on the batch size. On a CPU eight photos alone take 1.03 times as long as together.
        """
        if not drawn.is_loose:
            return drawn
        photo = inputs.only(number, self._encode_captions(inputs.photos[number : number + 1]))
        for structure in ((self.recipe.structure + 1) / 2, 1.0):
            if not drawn.is_loose:
                break
            [again] = self._draw(photo, style, structure)
            if again.rgb is not None:
                drawn = again
        return drawn

    def _draw(self, inputs: BatchInputs, style: Style, structure: float) -> list[Stylized]:
        """Draw a batch in one style."""
        latents = self._latents.stylize(
            inputs.clean,
            inputs.noise,
            style.name,
            structure,
            step_noise=inputs.step_noise,
            captions=inputs.captions,
            control_images=inputs.control_images,
        )
        return self._finish(inputs, style, structure, self.base.decode_latents(latents))

    def _finish(self, inputs: BatchInputs, style: Style, structure: float, decoded: Tensor) -> list[Stylized]:
        """Make pictures of the decoded images [B, 3, H', W']."""
        finish = Finish(self.recipe, style.palette, structure)
        finished = finish_pictures(decoded, inputs.originals, inputs.photos, finish)
        return [
            self._to_stylized(photo, style, picture) for photo, picture in zip(inputs.photos, finished, strict=True)
        ]

    def _to_stylized(self, photo: Photo, style: Style, finished: FinishedPicture | None) -> Stylized:
        """Return the picture of a photo in a style, or the reason that there is none."""
        if finished is None:
            return self._fail(photo, style, _NOT_FINITE)
        seed = photo_seed(self.recipe.seed, photo.key)
        return Stylized(photo.key, style.name, seed, finished.rgb, on_device=finished.on_device, kept=finished.kept)

    def _redraw_failed(
        self, batch: Sequence[Photo], drawn: list[Stylized], in_float32: Callable[[], Stylizer]
    ) -> list[Stylized]:
        """Draw failed pictures again with a copy in float32, unless they were drawn in it."""
        failed = {picture.key for picture in drawn if picture.rgb is None}
        if not failed or self.base.dtype == torch.float32:
            return drawn
        pictures = number_text(len(failed), "picture")
        logger.warning("drawing %s again in float32: empty in %s", pictures, self.base.dtype)
        photos = [photo for photo in batch if photo.key in failed]
        try:
            redrawn = {picture.key: picture for picture in in_float32().stylize_batch(photos, [drawn[0].style])}
        except (torch.OutOfMemoryError, MemoryError) as error:
            logger.warning("a copy of the model in float32 does not fit in memory: %s", error)
            return [
                replace(picture, error=_copy_error(self.base.dtype)) if picture.key in failed else picture
                for picture in drawn
            ]
        return [redrawn.get(picture.key, picture) for picture in drawn]

    def _copy_in_float32(self, styles: Sequence[Style]) -> Stylizer:
        return Stylizer(self.base.copy_in_float32(), styles, self.recipe, self.controls.copy_in_float32())

    def _fail(self, photo: Photo, style: Style, error: ImageError) -> Stylized:
        return Stylized(photo.key, style.name, photo_seed(self.recipe.seed, photo.key), None, error)


def _memory_error(photo: Photo) -> ImageError:
    size = f"{photo.frame.padded_width_px} x {photo.frame.padded_height_px} px"
    return ImageError(f"not enough memory for one picture of {size}; lower resolution_px", "out_of_memory")


def _copy_error(dtype: torch.dtype) -> ImageError:
    name = str(dtype).removeprefix("torch.")
    return ImageError(f"empty in {name}, and no memory for the model in float32; use a larger device", "out_of_memory")
