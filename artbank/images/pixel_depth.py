"""Scale pixels of more than 8 bits to 8: deep gray, and arrays of integers or floats.

Shape legend: H, W height and width, px; C channels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF tag PhotometricInterpretation, and its value WhiteIsZero
_WHITES = (255, 1023, 4095, 65535)  # of 8, 10, 12 and 16 bit
_BRIGHT = 16.0  # of floats whose white is 1; scenes of high dynamic range have such light
_NEAR_BLACK = 0.1  # of floats below 0, as resizing and colour conversion leave them
_MAX_VALUE = 1e30
_ROWS = 256  # scaled at once; bounds the memory


def to_8_bit(image: Image.Image) -> Image.Image:
    """Scale gray images of more than 8 bits to 8; return others unchanged.

    Files rarely say which value is white. It is the smallest of 255, 1023, 4095 and 65535 that no pixel exceeds; for
    floats see `scale_floats`. Images with negative or larger values are stretched from their darkest to their lightest
    pixel.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return image
    values = _clean(np.asarray(image).astype(np.float32))
    black, white = (_find_float_range if image.mode == "F" else _find_range)(values)
    gray = _scale(values, black, white)
    return Image.fromarray(255 - gray if _is_inverted(image) else gray)


def scale_integers(values: np.ndarray, bits: int) -> np.ndarray:
    """Scale integers [H, W, C] to uint8. The largest number of up to 16 bits is white; for more see `to_8_bit`."""
    highest = int(values.max())
    whites = (2**bits - 1,) if bits <= 16 else (*_WHITES, 2**bits - 1)
    white = next((white for white in whites if highest <= white), highest)
    return _by_rows(values, lambda rows: np.round(rows * (255.0 / white)).astype(np.uint8))


def scale_floats(values: np.ndarray, *, has_alpha: bool) -> np.ndarray:
    """Scale floats [H, W, C] to uint8.

    White is 1, and brighter light is clipped, unless a hundredth of the values is far brighter or is negative: then
    white is that of integers, and images with negative or still larger values are stretched.

    Args:
        values: The colours.
        has_alpha: Whether the last channel is an alpha, 0..1.
    """
    colours = values[..., :-1] if has_alpha else values
    black, white = _find_float_range(colours[:: max(1, len(colours) // 1024)].astype(np.float32))
    scaled = _by_rows(values, lambda rows: _scale(rows.astype(np.float32), black, white))
    if has_alpha:
        scaled[..., -1] = _scale(values[..., -1].astype(np.float32), 0.0, 1.0)
    return scaled


def _by_rows(values: np.ndarray, scale: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.concatenate([scale(values[top : top + _ROWS]) for top in range(0, len(values), _ROWS)])


def _find_float_range(values: np.ndarray) -> tuple[float, float]:
    """Return the values of black and white of floats."""
    values = _clean(values)
    if np.quantile(values, 0.01) >= -_NEAR_BLACK and np.quantile(values, 0.99) <= _BRIGHT:
        return 0.0, 1.0
    return _find_range(values)


def _find_range(values: np.ndarray) -> tuple[float, float]:
    low = float(values.min())
    high = float(values.max())
    whites = [white for white in _WHITES if high <= white]
    return (0.0, whites[0]) if low >= 0 and whites else (low, high)


def _scale(values: np.ndarray, black: float, white: float) -> np.ndarray:
    scale = 255 / ((white - black) or 1)
    return np.round(np.clip((_clean(values) - black) * scale, 0, 255)).astype(np.uint8)


def _clean(values: np.ndarray) -> np.ndarray:
    """Return values without those that are not finite; differences of larger ones would overflow."""
    return np.clip(np.nan_to_num(values), -_MAX_VALUE, _MAX_VALUE)


def _is_inverted(image: Image.Image) -> bool:
    """Return whether black is the highest value; Pillow handles that for up to 8 bits only."""
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC, 1) == _WHITE_IS_ZERO
