"""The inputs of a drawing: the photos of a batch, and what belongs to them on the model's device.

Shape legend: B batch, C x h x w latents, S steps; H' x W' padded working images, uint8 sRGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from artbank.diffusion.controlnet import ControlImages
from artbank.images.framing import Photo
from artbank.stylization.latents import EncodedCaptions


@dataclass(frozen=True)
class BatchInputs:
    """The inputs of a batch.

    Attributes:
        photos: B photos of one bucket.
        originals: The same, uint8 [B, 3, H', W'] on the model's device.
        clean: Their latents [B, C, h, w].
        noise: Noise of that shape.
        step_noise: Noise of the solver's steps, [S, B, C, h, w]; None with a solver that adds none.
        control_images: Their images as each ControlNet takes them.
        captions: Their captions, encoded; None if the recipe takes none.
    """

    photos: Sequence[Photo]
    originals: Tensor
    clean: Tensor
    noise: Tensor
    step_noise: Tensor | None
    control_images: tuple[ControlImages, ...]
    captions: EncodedCaptions | None

    def only(self, number: int, captions: EncodedCaptions | None) -> BatchInputs:
        """Return the batch of one photo, counted from 0, with its own caption."""
        place = slice(number, number + 1)
        step_noise = None if self.step_noise is None else self.step_noise[:, place]
        return BatchInputs(
            self.photos[place],
            self.originals[place],
            self.clean[place],
            self.noise[place],
            step_noise,
            tuple(images.only(number) for images in self.control_images),
            captions,
        )
