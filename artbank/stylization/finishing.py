"""Make pictures of what the VAE decodes, and bring them to the host.

A picture gets the colours of the recipe's policy, then the lightness of its photo. All of it is queued on the device,
for a whole batch. Then the host waits once: for the pictures, and for what was found with them.

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
    """How pictures of one style are finished.

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
        kept: What was found for the photo; None if it is not held to a similarity.
    """

    rgb: np.ndarray
    on_device: Tensor
    kept: KeptStructure | None


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
    is_black = (pictures.flatten(1).amax(1) <= _BLACK) & (originals.flatten(1).amax(1) > _BLACK)
    is_usable = decoded.isfinite().flatten(1).all(1) & ~is_black  # [B]
    is_held = [finish.recipe.keep_structure is not None and bool(photo.padded.any()) for photo in photos]
    adjusted = [
        _adjust(_cut(picture, photo), _cut(original, photo), finish, held)
        for picture, original, photo, held in zip(pictures, originals, photos, is_held, strict=True)
    ]
    on_device = [picture for picture, _ in adjusted]
    found = torch.stack([own for _, own in adjusted])  # [B, 2]
    rows = [picture.permute(1, 2, 0).contiguous() for picture in on_device]  # each [h, w, 3]
    usable, numbers, *rgb = copy_to_host([is_usable, found, *rows])
    finished: list[FinishedPicture | None] = []
    for own, picture, (beta, is_reached), held, is_fine in zip(
        rgb, on_device, numbers.tolist(), is_held, usable, strict=True
    ):
        kept = _describe(beta, is_reached, finish.structure) if held else None
        finished.append(FinishedPicture(own, picture, kept) if is_fine else None)
    return finished


def _cut(picture: Tensor, photo: Photo) -> Tensor:
    """Return a padded picture without its padding, [3, h, w]."""
    return picture[:, : photo.frame.height_px, : photo.frame.width_px]


def _adjust(picture: Tensor, original: Tensor, finish: Finish, is_held: bool) -> tuple[Tensor, Tensor]:
    """Apply the colour policy to a picture [3, h, w], then return its photo's lightness to it.

    Returns:
        The picture, and what was found for it: beta, and 1 if it is as similar as it must be, [2] float32.
    """
    picture = _apply_colours(picture, original, finish)
    if is_held and finish.recipe.keep_structure is not None:
        reached = reach_similarity(picture, original, finish.recipe.keep_structure, most_lightness(finish.structure))
        return reached.picture, torch.stack([reached.lightness, reached.is_reached.float()])
    if finish.structure:
        picture = return_lightness(picture, original, lightness_weight(finish.structure))
    return picture, torch.zeros(2, device=picture.device)


def _apply_colours(picture: Tensor, original: Tensor, finish: Finish) -> Tensor:
    """Apply the recipe's colour policy to a picture [3, h, w]."""
    strength = finish.recipe.colour_strength
    if finish.recipe.colour == "keep":
        return keep_colours(picture, original, strength)
    if finish.recipe.colour == "collection" and finish.palette is not None:
        return match_palette(picture, finish.palette, strength)
    return picture


def _describe(beta: float, is_reached: float, structure: float) -> KeptStructure:
    # The device has the largest beta in float32, which differs from it in the last digits.
    return KeptStructure(structure, beta if is_reached else most_lightness(structure), bool(is_reached))
