"""Known colours in several colour spaces, and the check that a file with them is shown as it should be."""

from __future__ import annotations

from functools import cache

import numpy as np

from artbank.images.codec import Picture, decode
from artbank.images.icc_profiles import SRGB, Primaries
from artbank.images.tone_mapping import encode_srgb

LIMIT = 10**6
"""The most pixels of a file."""


@cache
def truth() -> np.ndarray:
    """Smooth colours of all hues within sRGB, uint8 [H, W, 3]."""
    down, right = np.mgrid[0:1:48j, 0:1:64j]
    return np.round(np.dstack([right, down, 1 - right * down]) * 235 + 10).astype(np.uint8)


def light() -> np.ndarray:
    """The linear light of `truth`, 0..1, by the formula of IEC 61966-2-1."""
    values = truth() / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def light_in(primaries: Primaries) -> np.ndarray:
    """The same light in other primaries."""
    return np.clip(light() @ (np.linalg.inv(primaries.to_xyz()) @ SRGB.to_xyz()).T, 0, 1)


def in_space(primaries: Primaries, gamma: float | None) -> np.ndarray:
    """The truth as values of another colour space, uint8 [H, W, 3]."""
    linear = light_in(primaries)
    return np.round((encode_srgb(linear) if gamma is None else linear ** (1 / gamma)) * 255).astype(np.uint8)


def check(data: bytes, *, most: float = 2.0) -> Picture:
    """Check that a file shows the truth, within a mean difference of 0..255; returns its picture."""
    picture = decode(data, max_pixels=LIMIT)
    assert np.abs(picture.rgb.astype(int) - truth()).mean() <= most
    return picture
