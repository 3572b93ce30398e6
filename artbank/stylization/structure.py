"""Hold a picture to the structure of its photo, while its style is drawn.

Shape legend: B batch, C x h x w latents, float32, scaled; pictures uint8 [3, H, W] sRGB.

Two corrections, both of which leave the statistics of the style alone:

    in each step     the predicted picture x0 moves by a fraction w toward T, the photo's latents after AdaIN to x0's
                     own mean and spread: eps' = eps - alpha_t / sigma_t * w (T - x0), or v' = v - w (T - x0) / sigma_t
    after decoding   the lightness L moves by a fraction beta toward the photo's, matched to L's mean and spread

Without AdaIN the photo's own contrast and colours would come back, and the style would go.

w and beta are means over a picture. They are larger where the photo has detail, which people recognise it by, and
smaller where it is plain, which leaves room for strokes; see `spread_weight`. Near structure 1 they are alike
everywhere.

Source: ArtBank has neither. Similar guidance toward a reference is in ILVR, Choi et al., ICCV 2021, and in
Filter-Guided Diffusion, Gu et al., SIGGRAPH 2024; AdaIN is from Huang and Belongie, ICCV 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from artbank.diffusion.base_model import BaseModel
from artbank.stylization.lab import from_lab, to_lab
from artbank.stylization.ssim import measure_ssim

_PULL = 0.9  # share of x0 that is replaced at structure 1; at 1 nothing would be left to the style
_PULL_POWER = 1.7  # so that structure 0.5 replaces 0.28: the pull costs style, the lightness below hardly does
_MOST_LIGHTNESS = 0.6  # share of the photo's lightness
_EVENNESS_POWER = 4  # of structure: up to 0.6 the weights are spread almost fully, at 0.84 by half
_GRID = 32  # cells along the short side, in which local contrast is measured
_MIN_CONTRAST = 1e-2  # of latents and of lightness 0..100: less is none
_NEIGHBOURS = 5  # cells along the side of the square whose contrast counts for its middle one
_MIN_STD = 1e-4
_NO_GHOST = 0.25  # beta up to which the photo's lightness hardly shows through a picture of another structure
_HALVINGS = 6  # of the interval of beta: steps of less than 0.01


@dataclass(frozen=True)
class KeptStructure:
    """The settings that were found for one photo to reach a recipe's `keep_structure`.

    Attributes:
        structure: That of the recipe, or more where it was not enough, 0..1.
        lightness: Beta, the mean fraction of the photo's lightness that was returned, 0..0.6.
        is_reached: Whether the picture is as similar as it must be.
    """

    structure: float
    lightness: float
    is_reached: bool


class ReachedSimilarity(NamedTuple):
    """A picture with as much of its photo's lightness as a similarity takes, all on its device.

    Attributes:
        picture: uint8 [3, H, W].
        lightness: Beta, the mean fraction, without dimensions.
        is_reached: Whether the similarity is reached, a bool without dimensions; if it is not, beta is the largest.
    """

    picture: Tensor
    lightness: Tensor
    is_reached: Tensor


def pull_weight(structure: float) -> float:
    """Return the mean of w, the fraction of each step's correction, 0..0.9, for a recipe's `structure` of 0..1."""
    return _PULL * structure**_PULL_POWER


def lightness_weight(structure: float) -> float:
    """Return the mean of beta, the fraction of the photo's lightness, 0..0.6; it rises slowly: it shows as a ghost."""
    return min(structure**2, _MOST_LIGHTNESS)


def most_lightness(structure: float) -> float:
    """Return the largest beta that may be found for a picture that was drawn with a structure, 0.25..0.6."""
    return max(lightness_weight(structure), _NO_GHOST)


def rank_contrast(images: Tensor) -> Tensor:
    """Rank the places of images [B, C, h, w] by local contrast; returns [B, 1, h, w], 0 the plainest to 1, mean 0.5.

    Contrast is the standard deviation in a square of 5/32 of the short side, averaged over channels. A rank does not
    depend on how the contrast of an image is distributed, so half of every image is above 0.5; equal contrasts have
    equal ranks, so an image of one colour has 0.5 everywhere.

    Args:
        images: Latents, or lightness of 0..100.
    """
    height, width = images.shape[-2:]
    cell = max(min(height, width) / _GRID, 1.0)
    grid = round(height / cell), round(width / cell)
    centred = images - images.mean((-2, -1), keepdim=True)  # else rounding is the contrast of plain images
    mean, square = (_pool_neighbours(F.adaptive_avg_pool2d(moment, grid)) for moment in (centred, centred.square()))
    contrast = (square - mean.square()).clamp_min(0).sqrt().mean(1).flatten(1).clamp_min(_MIN_CONTRAST)  # [B, cells]
    ordered = contrast.sort(dim=1).values
    below, not_above = (torch.searchsorted(ordered, contrast, right=right) for right in (False, True))
    ranks = (below + not_above).to(images.dtype) / (2 * contrast.shape[1])
    return F.interpolate(ranks.unflatten(1, (1, *grid)), (height, width), mode="bilinear")


def _pool_neighbours(cells: Tensor) -> Tensor:
    return F.avg_pool2d(cells, _NEIGHBOURS, 1, _NEIGHBOURS // 2, count_include_pad=False)


def spread_weight(weight: float | Tensor, ranks: Tensor, structure: float, most: float = 1.0) -> Tensor:
    """Spread a weight over the places of a picture, by the ranks of its photo's local contrast.

    Args:
        weight: Mean weight, 0..1.
        ranks: See `rank_contrast`, of any shape.
        structure: 0..1; near 0 a place of rank r gets 2 r times the weight, at 1 all places get the same.
        most: Largest weight of a place.

    Returns:
        Weights, 0..`most`, of the shape of `ranks`.
    """
    unevenness = 1 - structure**_EVENNESS_POWER
    return (weight * (1 + unevenness * (2 * ranks - 1))).clamp(0, most)


def pull_weights(clean: Tensor, structure: float) -> Tensor:
    """Return w for each place of photos' latents [B, C, h, w], 0..0.9, [B, 1, h, w]; see `pull_weight`."""
    return spread_weight(pull_weight(structure), rank_contrast(clean), structure, _PULL)


def pull_to_photo(
    base: BaseModel, predicted: Tensor, latents: Tensor, clean: Tensor, timestep: int, weight: float | Tensor
) -> Tensor:
    """Correct a prediction, so that the picture it implies has more of the photo's structure.

    Args:
        base: The model; its prediction type and noise schedule count.
        predicted: Its prediction, guided, [B, C, h, w].
        latents: What it was predicted from, [B, C, h, w].
        clean: The photos' latents, [B, C, h, w].
        timestep: 1..999.
        weight: Fraction of the correction, 0..0.9, for each place [B, 1, h, w] or for all; see `pull_weights`.

    Returns:
        A prediction of the same type, [B, C, h, w].
    """
    schedule = base.noise_schedule
    alpha_t, sigma_t = schedule.scales(timestep)
    implied = schedule.implied_picture(predicted, latents, timestep)
    change = weight * (match_statistics(clean, implied) - implied)
    if schedule.predicts_velocity:
        return predicted - change / sigma_t
    return predicted - alpha_t / sigma_t * change


def match_statistics(images: Tensor, wanted: Tensor) -> Tensor:
    """Return images [B, C, h, w] with the mean and spread that `wanted` has in each sample and channel (AdaIN)."""
    std, mean = torch.std_mean(images, dim=(-2, -1), correction=0, keepdim=True)  # each [B, C, 1, 1]
    wanted_std, wanted_mean = torch.std_mean(wanted, dim=(-2, -1), correction=0, keepdim=True)
    return (images - mean) * (wanted_std / std.clamp_min(_MIN_STD)) + wanted_mean


def return_lightness(picture: Tensor, photo: Tensor, weight: float, structure: float) -> Tensor:
    """Return a picture [3, H, W] whose lightness has moved toward the photo's by a mean weight of 0..1.

    Mean and spread of its lightness, and its chroma, stay. The structure that it was drawn with, 0..1, decides how
    differently the weight is spread; see `spread_weight`.
    """
    return _PhotoLightness.match(photo, to_lab(picture), structure).blend(weight)


def reach_similarity(picture: Tensor, photo: Tensor, wanted: float, structure: float) -> ReachedSimilarity:
    """Return as much of the photo's lightness to a picture [3, H, W] as a similarity takes.

    Everything is decided on the device, so that the host does not wait for it. So all pictures cost the same, also one
    that is similar enough as it is, or that cannot be.

    Args:
        picture: The picture.
        photo: Its photo, at the same size.
        wanted: SSIM of lumas, 0..1.
        structure: The structure it was drawn with, 0..1; see `most_lightness`.
    """
    lightness = _PhotoLightness.match(photo, to_lab(picture), structure)
    low = torch.zeros((), device=picture.device)
    most_weight = torch.full_like(low, most_lightness(structure))
    is_similar = measure_ssim(picture, photo) >= wanted
    is_reachable = measure_ssim(lightness.blend(most_weight), photo) >= wanted
    high = most_weight
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_enough = measure_ssim(lightness.blend(middle), photo) >= wanted
        low, high = torch.where(is_enough, low, middle), torch.where(is_enough, middle, high)
    weight = torch.where(is_reachable, high, most_weight)
    adjusted = torch.where(is_similar, picture, lightness.blend(weight))
    return ReachedSimilarity(adjusted, weight.masked_fill(is_similar, 0.0), is_similar | is_reachable)


@dataclass(frozen=True)
class _PhotoLightness:
    """The lightness of a photo, ready to be returned to its picture.

    Attributes:
        lab: The picture in Lab, [3, H, W].
        wanted: The photo's lightness [1, H, W], with mean and spread of the picture's.
        ranks: Ranks of the photo's local contrast, [1, H, W].
        structure: The structure that the picture was drawn with, 0..1.
    """

    lab: Tensor
    wanted: Tensor
    ranks: Tensor
    structure: float

    @classmethod
    def match(cls, photo: Tensor, lab: Tensor, structure: float) -> _PhotoLightness:
        """Match the lightness of a photo [3, H, W] to a picture in Lab."""
        lightness = to_lab(photo)[:1]
        return cls(lab, match_statistics(lightness, lab[:1]), rank_contrast(lightness[None])[0], structure)

    def blend(self, weight: float | Tensor) -> Tensor:
        """Return the picture, uint8 [3, H, W], with a mean fraction of the photo's lightness."""
        blended = torch.lerp(self.lab[:1], self.wanted, spread_weight(weight, self.ranks, self.structure))
        return from_lab(torch.cat([match_statistics(blended, self.lab[:1]), self.lab[1:]]))
