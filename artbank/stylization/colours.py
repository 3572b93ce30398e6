"""Colours of a stylized picture: those of its photo, or those of a collection.

Shape legend: pictures uint8 [3, H, W] sRGB on any device; Lab float32 [3, H, W], L 0..100; tones float32 [3, LEVELS],
rows a, b and spread, see `artbank.images.palette.Tone`.

Source: Reinhard et al., "Color transfer between images", 2001, of which the collection's colours are a version by
lightness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import torch
from torch import Tensor

from artbank.diffusion.tensors import copy_to_device
from artbank.images.palette import LEVELS, PRIOR, SHARES, Palette
from artbank.stylization.lab import from_lab, to_lab

_MIN_STD = 1e-3
_MOST_GAIN = 1.6  # of chroma: more makes plain areas blotchy


def keep_colours(picture: Tensor, photo: Tensor, strength: float) -> Tensor:
    """Return the lightness of a stylized picture with the chroma of its photo, which has the same size.

    With a strength of less than 1 the rest of the chroma is the picture's own.
    """
    lab, wanted = to_lab(picture), to_lab(photo)
    return from_lab(torch.cat([lab[:1], torch.lerp(lab[1:], wanted[1:], strength)]))


def match_palette(picture: Tensor, palette: Palette, strength: float = 1.0) -> Tensor:
    """Give a picture the lightness and the chroma of a collection, as far as that leaves its colours plausible.

    L takes the palette's distribution, in nine steps. The chroma of each lightness takes the spread that the palette
    has there. It moves toward the palette's mean chroma only as far as the palette's colours agree: a sepia collection
    makes all grey areas brown, one of many colours leaves them grey.

    Args:
        picture: The picture.
        palette: The collection's colours.
        strength: 0 leaves the picture as it is, 1 is as above. Between them, the more the collection's colours are one
            tone, the more of it counts: half of the brown of sepia prints would look like a mistake.
    """
    lab = to_lab(picture)
    own_lightness = _quantiles(lab[0]) + _MIN_STD * torch.arange(len(SHARES), device=lab.device)  # also if it is flat
    lightness = _interpolate(lab[0], own_lightness, _to_row(palette.known_lightness, lab))
    wanted = _to_row([astuple(tone) for tone in palette.known_tones], lab).T
    matched = torch.cat([lightness[None], _match_chroma(lab, _measure_tones(lab), lightness, wanted)])
    return from_lab(torch.lerp(lab, matched, strength ** (1 - palette.unity)))


def _match_chroma(lab: Tensor, tones: Tensor, lightness: Tensor, wanted: Tensor) -> Tensor:
    """Return a and b, [2, H, W], for a picture with its own tones that gets a new lightness [H, W]."""
    own_tone, tone = _at_lightness(tones, lab[0]), _at_lightness(wanted, lightness)  # each [3, H, W]
    chroma = tone[:2].square().sum(0)
    unity = chroma / (chroma + tone[2] ** 2).clamp_min(_MIN_STD)  # 1 where all colours are one tone
    gain = (tone[2] / own_tone[2].clamp_min(_MIN_STD)).clamp_max(_MOST_GAIN)
    return torch.lerp(own_tone[:2], tone[:2], unity) + gain * (lab[1:] - own_tone[:2])


def _measure_tones(lab: Tensor) -> Tensor:
    """Return the tones of a picture; a level without pixels borrows from all of them."""
    levels = _to_row(LEVELS, lab)
    distance = (lab[0].flatten().clamp(LEVELS[0], LEVELS[-1])[:, None] - levels).abs() / (LEVELS[1] - LEVELS[0])
    a, b = lab[1].flatten(), lab[2].flatten()
    facts = torch.stack([torch.ones_like(a), a, b, a**2 + b**2])  # [4, pixels]
    sums = facts @ (1 - distance).clamp_min(0) / len(a) + PRIOR * facts.mean(1, keepdim=True)  # [4, LEVELS]
    mean_a, mean_b, square = sums[1:] / sums[0]
    return torch.stack([mean_a, mean_b, (square - mean_a**2 - mean_b**2).clamp_min(0).sqrt()])


def _at_lightness(tones: Tensor, lightness: Tensor) -> Tensor:
    """Return a, b and spread at each lightness [H, W], between the levels linearly, [3, H, W]."""
    return _interpolate(lightness, _to_row(LEVELS, tones), tones)


def _quantiles(values: Tensor) -> Tensor:
    """Return the values below which `SHARES` of them lie, [SHARES], between two values linearly."""
    ordered = _sort(values.flatten())
    places = _to_row(SHARES, values) * (len(ordered) - 1)
    below = places.floor().long()
    above = (below + 1).clamp_max(len(ordered) - 1)
    return torch.lerp(ordered[below], ordered[above], places - below)


def _sort(values: Tensor) -> Tensor:
    """Sort values [n]; on a CPU NumPy does that in a tenth of PyTorch's time."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy()))
    return values.sort().values


def _interpolate(x: Tensor, known_x: Tensor, known_y: Tensor) -> Tensor:
    """Return y, [..., H, W], at each x [H, W], linearly between known places and as at the ends beyond them.

    Args:
        x: The places.
        known_x: The known places, [n], in rising order.
        known_y: Any number of values there, [..., n].
    """
    left = (torch.searchsorted(known_x, x.contiguous()) - 1).clamp(0, len(known_x) - 2)
    share = ((x - _select(known_x, left)) / _select(known_x.diff(), left)).clamp(0, 1)
    return torch.lerp(_select(known_y, left), _select(known_y, left + 1), share)


def _select(table: Tensor, places: Tensor) -> Tensor:
    """Return `table[..., places]`, [..., H, W], for a table [..., n]; on a CPU in a quarter of that one's time."""
    return table.index_select(-1, places.flatten()).unflatten(-1, places.shape)


def _to_row(values: Sequence[float] | Sequence[tuple[float, ...]] | np.ndarray, like: Tensor) -> Tensor:
    """Return numbers as float32 on the device of a tensor; the host does not wait for it."""
    return copy_to_device(torch.tensor(values, dtype=torch.float32), like.device)
