"""Structural similarity of a picture and its photo, and flags of pictures that show nothing.

Pictures are uint8 [H, W, 3] sRGB.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from skimage.metrics import structural_similarity

_WINDOW_PX = 11
_SSIM: Any = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
_MAX_SIDE_PX = 1024
# Limits of the flags, on the scale 0..255
_MAX_BLACK = 8
_MIN_WHITE = 247
_MAX_FLAT_STD = 2.0


def ssim_luma(picture: np.ndarray, photo: np.ndarray) -> float:
    """Return the structural similarity of two lumas, -1..1, with the photo resized to the picture's size.

    Both are compared at no more than 1024 px a side: finer detail is brushwork, not structure. Sides below 11 px are
    padded with their edge.

    Source: Wang et al., IEEE TIP 2004, with its Gaussian window of 11 px and sigma 1.5.
    """
    height, width = picture.shape[:2]
    scale = min(_MAX_SIDE_PX / max(height, width), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    lumas = [_luma(image, size) for image in (picture, photo)]
    similarity: Any = structural_similarity(*lumas, **_SSIM)  # the type hints include maps that are not requested
    return float(similarity)


def sanity_flags(image: np.ndarray) -> tuple[str, ...]:
    """Return `black`, `white` or `flat` (one colour) for a picture that shows nothing, else an empty tuple."""
    stride = max(max(image.shape) // 256, 1)
    sampled = image[::stride, ::stride]
    low, high = np.percentile(sampled, (0.1, 99.9))
    if high <= _MAX_BLACK:
        return ("black",)
    if low >= _MIN_WHITE:
        return ("white",)
    if sampled.reshape(-1, 3).std(0).max() < _MAX_FLAT_STD:
        return ("flat",)
    return ()


def _luma(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the luma of an image, 0..1, at a size (width, height); sides below the window are padded."""
    if (image.shape[1], image.shape[0]) != size:
        shrinks = image.shape[0] * image.shape[1] > size[0] * size[1]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    return np.pad(luma, [(0, max(_WINDOW_PX - side, 0)) for side in luma.shape], "edge")
