"""Hold a picture to the structure of its photo, while its style is drawn.

Shape legend: B batch, C x h x w latents, float32, scaled; pictures uint8 [3, H, W] sRGB.

Two corrections, both of which leave the statistics of the style alone:

    in each step     the predicted picture x0 moves by a fraction w toward T, the photo's latents after AdaIN to x0's
                     own mean and spread: eps' = eps - alpha / sigma * w (T - x0), or v' = v - w (T - x0) / sigma
    after decoding   the lightness L moves by a fraction beta toward the photo's, matched to L's mean and spread

Without AdaIN the photo's own contrast and colours would come back, and the style would go.

Source: ArtBank has neither. Similar guidance toward a reference is in ILVR, Choi et al., ICCV 2021, and in
Filter-Guided Diffusion, Gu et al., SIGGRAPH 2024; AdaIN is from Huang and Belongie, ICCV 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from artbank.diffusion.base_model import BaseModel
from artbank.stylization.lab import from_lab, to_lab
from artbank.stylization.ssim import measure_ssim

_PULL = 0.9  # share of x0 that is replaced at structure 1; at 1 nothing would be left to the style
_PULL_POWER = 1.7  # so that structure 0.5 replaces 0.28: the pull costs style, the lightness below hardly does
_MOST_LIGHTNESS = 0.6  # share of the photo's lightness
_MIN_STD = 1e-4
_NO_GHOST = 0.25  # beta up to which the photo's lightness hardly shows through a picture of another structure
_HALVINGS = 6  # of the interval of beta: steps of less than 0.01


@dataclass(frozen=True)
class KeptStructure:
    """The settings that were found for one photo to reach a recipe's `keep_structure`.

    Attributes:
        structure: Of the recipe, or more where that was not enough, 0..1.
        lightness: Beta, the fraction of the photo's lightness that was returned, 0..0.6.
        is_reached: Whether the picture is as similar as it must be.
    """

    structure: float
    lightness: float
    is_reached: bool


class ReachedSimilarity(NamedTuple):
    """A picture with as much of its photo's lightness as a similarity takes, all on its device.

    Attributes:
        picture: uint8 [3, H, W].
        lightness: Beta, without dimensions.
        is_reached: Whether the similarity is reached, a bool without dimensions; if it is not, beta is the largest.
    """

    picture: Tensor
    lightness: Tensor
    is_reached: Tensor


def pull_weight(structure: float) -> float:
    """Return w, the fraction of each step's correction, 0..0.9, for a recipe's `structure` of 0..1."""
    return _PULL * structure**_PULL_POWER


def lightness_weight(structure: float) -> float:
    """Return beta, the fraction of the photo's lightness, 0..0.6; it rises slowly, because it shows as a ghost."""
    return min(structure**2, _MOST_LIGHTNESS)


def most_lightness(structure: float) -> float:
    """Return the largest beta that may be found for a picture that was drawn with a structure, 0.25..0.6."""
    return max(lightness_weight(structure), _NO_GHOST)


def pull_to_photo(
    base: BaseModel, predicted: Tensor, latents: Tensor, clean: Tensor, timestep: int, weight: float
) -> Tensor:
    """Correct a prediction, so that the picture it implies has more of the photo's structure.

    Args:
        base: The model; its prediction type and noise schedule count.
        predicted: Its prediction, guided, [B, C, h, w].
        latents: What it was predicted from, [B, C, h, w].
        clean: The photos' latents, [B, C, h, w].
        timestep: 1..999.
        weight: See `pull_weight`.

    Returns:
        A prediction of the same type, [B, C, h, w].
    """
    of_image, of_noise = base.noise_scales(timestep)
    noise = base.implied_noise(predicted, latents, timestep)
    origin = (latents - of_noise * noise) / of_image
    change = weight * (match_statistics(clean, origin) - origin)
    if base.prediction_type == "epsilon":
        return predicted - of_image / of_noise * change
    return predicted - change / of_noise


def match_statistics(images: Tensor, wanted: Tensor) -> Tensor:
    """Return images [B, C, h, w] with the mean and spread that `wanted` has in each sample and channel (AdaIN)."""
    std, mean = torch.std_mean(images, dim=(-2, -1), correction=0, keepdim=True)  # each [B, C, 1, 1]
    wanted_std, wanted_mean = torch.std_mean(wanted, dim=(-2, -1), correction=0, keepdim=True)
    return (images - mean) * (wanted_std / std.clamp_min(_MIN_STD)) + wanted_mean


def return_lightness(picture: Tensor, photo: Tensor, weight: float) -> Tensor:
    """Return a picture [3, H, W] whose lightness has moved toward the photo's by a weight of 0..1.

    Mean and spread of its lightness, and its chroma, stay.
    """
    lab = to_lab(picture)
    return _blend(lab, _match_lightness(photo, lab), weight)


def reach_similarity(picture: Tensor, photo: Tensor, wanted: float, most: float) -> ReachedSimilarity:
    """Return as much of the photo's lightness to a picture [3, H, W] as a similarity takes.

    Everything is decided on the device, so that the host does not wait for it. So all pictures cost the same, also one
    that is similar enough as it is, or that cannot be.

    Args:
        picture: The picture.
        photo: Its photo, at the same size.
        wanted: SSIM of lumas, 0..1.
        most: The largest beta to try, 0..1.
    """
    lab = to_lab(picture)
    matched = _match_lightness(photo, lab)
    low = torch.zeros((), device=picture.device)
    most_weight = torch.full_like(low, most)
    is_similar = measure_ssim(picture, photo) >= wanted
    is_reachable = measure_ssim(_blend(lab, matched, most_weight), photo) >= wanted
    high = most_weight
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_enough = measure_ssim(_blend(lab, matched, middle), photo) >= wanted
        low, high = torch.where(is_enough, low, middle), torch.where(is_enough, middle, high)
    weight = torch.where(is_reachable, high, most_weight)
    held = torch.where(is_similar, picture, _blend(lab, matched, weight))
    return ReachedSimilarity(held, weight.masked_fill(is_similar, 0.0), is_similar | is_reachable)


def _match_lightness(photo: Tensor, lab: Tensor) -> Tensor:
    """Return the photo's lightness [1, H, W] with the mean and spread of that of a picture in Lab."""
    return match_statistics(to_lab(photo)[:1], lab[:1])


def _blend(lab: Tensor, wanted: Tensor, weight: float | Tensor) -> Tensor:
    """Move the lightness of a picture in Lab toward another one, with its own mean and spread; returns the picture."""
    blended = torch.lerp(lab[:1], wanted, weight)
    return from_lab(torch.cat([match_statistics(blended, lab[:1]), lab[1:]]))
