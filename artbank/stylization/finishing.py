"""Make pictures of what the VAE decodes, and bring them to the host.

A picture gets the colours of the recipe's policy, then the lightness of its photo. All of it is queued on the device,
for a whole batch. Then the host waits once: for the pictures, and for the lightness that each needed.

Shape legend: B batch; H' x W' padded pictures, h x w pictures without padding; uint8 sRGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from artbank.diffusion.tensors import copy_to_host, to_8_bit
from artbank.images.framing import Photo
from artbank.images.palette import Palette
from artbank.recipes import StylizeRecipe
from artbank.stylization.colours import keep_colours, match_palette
from artbank.stylization.structure import (
    KeptStructure,
    lightness_weight,
    most_lightness,
    reach_similarity,
    return_lightness,
)

_BLACK = 8  # of 255; a model in half precision that overflows gives pictures with nothing lighter


@dataclass(frozen=True)
class Finish:
    """The settings by which pictures of one style are finished.

    Attributes:
        recipe: Its colour policy and `keep_structure` count.
        palette: Colours of the collection; None if the style has none.
        structure: The structure that the pictures were drawn with, 0..1.
    """

    recipe: StylizeRecipe
    palette: Palette | None
    structure: float


@dataclass(frozen=True)
class FinishedPicture:
    """One picture without padding.

    Attributes:
        rgb: uint8 [h, w, 3].
        on_device: The same picture on the model's device, uint8 [3, h, w].
        kept: The settings that were found for the photo; None if it is not held to a similarity.
    """

    rgb: np.ndarray
    on_device: Tensor
    kept: KeptStructure | None


@dataclass(frozen=True)
class _Adjusted:
    """A picture that is finished, but still on the device alone.

    Attributes:
        picture: uint8 [3, h, w].
        search: Result of the search for beta, float32 [2]: beta, and 1 if the picture is as similar as it must be;
            zeros if the picture is not held.
        is_held: Whether the picture is held to a similarity with its photo.
    """

    picture: Tensor
    search: Tensor
    is_held: bool

    def to_finished(self, rgb: np.ndarray, beta: float, is_reached: bool, structure: float) -> FinishedPicture:
        """Return the finished picture.

        Args:
            rgb: Its pixels, copied from the device, uint8 [h, w, 3].
            beta: The first number of `search`.
            is_reached: The second one.
            structure: The structure that it was drawn with, 0..1.
        """
        if not self.is_held:
            return FinishedPicture(rgb, self.picture, None)
        # The device has the largest beta in float32, which differs from it in the last digits.
        lightness = beta if is_reached else most_lightness(structure)
        return FinishedPicture(rgb, self.picture, KeptStructure(structure, lightness, is_reached))


def finish_pictures(
    decoded: Tensor, originals: Tensor, photos: Sequence[Photo], finish: Finish
) -> list[FinishedPicture | None]:
    """Finish the pictures of a batch; the host waits for the device once.

    Args:
        decoded: What the VAE decoded, [B, 3, H', W'], about -1..1.
        originals: The padded photos, uint8 [B, 3, H', W'] on the same device.
        photos: The same, B of them.
        finish: How.

    Returns:
        B pictures; None in place of one with values that are not finite, or that is black while its photo is not.
    """
    pictures = to_8_bit(decoded)
    adjusted = [_adjust(*images, finish) for images in zip(pictures, originals, photos, strict=True)]
    rows = [picture.picture.permute(1, 2, 0).contiguous() for picture in adjusted]  # each [h, w, 3]
    searches = torch.stack([picture.search for picture in adjusted])  # [B, 2]
    usable = _find_usable(decoded, pictures, originals)
    is_usable, search_results, *rgb = copy_to_host([usable, searches, *rows])
    finished = [
        picture.to_finished(pixels, beta, bool(is_reached), finish.structure)
        for picture, pixels, (beta, is_reached) in zip(adjusted, rgb, search_results.tolist(), strict=True)
    ]
    return [picture if is_good else None for picture, is_good in zip(finished, is_usable, strict=True)]


def _find_usable(decoded: Tensor, pictures: Tensor, originals: Tensor) -> Tensor:
    """Return which pictures are finite, and not black unless their photos are, [B]."""
    is_black = (pictures.flatten(1).amax(1) <= _BLACK) & (originals.flatten(1).amax(1) > _BLACK)
    return decoded.isfinite().flatten(1).all(1) & ~is_black


def _adjust(padded: Tensor, padded_original: Tensor, photo: Photo, finish: Finish) -> _Adjusted:
    """Cut a picture, apply the colour policy to it, then return its photo's lightness to it."""
    cut = slice(None), slice(photo.frame.height_px), slice(photo.frame.width_px)
    original = padded_original[cut]
    picture = _apply_colours(padded[cut], original, finish)
    wanted = finish.recipe.keep_structure
    if wanted is not None and photo.padded.any():  # a blank photo has no structure
        reached = reach_similarity(picture, original, wanted, finish.structure)
        search = torch.stack([reached.lightness, reached.is_reached.float()])
        return _Adjusted(reached.picture, search, is_held=True)
    if finish.structure:
        picture = return_lightness(picture, original, lightness_weight(finish.structure), finish.structure)
    return _Adjusted(picture, torch.zeros(2, device=picture.device), is_held=False)


def _apply_colours(picture: Tensor, original: Tensor, finish: Finish) -> Tensor:
    """Apply the recipe's colour policy to a picture [3, h, w]."""
    strength = finish.recipe.colour_strength
    if finish.recipe.colour == "keep":
        return keep_colours(picture, original, strength)
    if finish.recipe.colour == "collection" and finish.palette is not None:
        return match_palette(picture, finish.palette, strength)
    return picture
