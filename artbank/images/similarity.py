"""How much of a photo's structure a picture keeps, and whether it is a picture at all.

Pictures are uint8 [H, W, 3] sRGB.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from skimage.metrics import structural_similarity

_WINDOW_PX = 11
_SSIM: Any = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
_LONGEST_PX = 1024
_DARK, _BRIGHT, _FLAT = 8, 247, 2.0  # of 255; the last is a standard deviation


def ssim_luma(picture: np.ndarray, photo: np.ndarray) -> float:
    """Return the structural similarity of two lumas, -1..1, with the photo brought to the picture's size.

    Both are looked at with at most 1024 px a side: what is finer is brush, not structure. Sides below 11 px are padded
    by their edge.

    Source: Wang et al., IEEE TIP 2004, with its Gaussian window of 11 px and sigma 1.5.
    """
    height, width = picture.shape[:2]
    scale = min(_LONGEST_PX / max(height, width), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    lumas = [_luma(image, size) for image in (picture, photo)]
    similarity: Any = structural_similarity(*lumas, **_SSIM)  # its hints tell of maps that were not asked for
    return float(similarity)


def sanity_flags(image: np.ndarray) -> tuple[str, ...]:
    """Return what is wrong with a picture at first sight: `black`, `white` or `flat` (one colour); else nothing."""
    stride = max(max(image.shape) // 256, 1)  # a sample tells as much
    seen = image[::stride, ::stride]
    low, high = np.percentile(seen, (0.1, 99.9))
    if high <= _DARK:
        return ("black",)
    if low >= _BRIGHT:
        return ("white",)
    return ("flat",) if seen.reshape(-1, 3).std(0).max() < _FLAT else ()


def _luma(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the luma of an image at a size (width, height), 0..1, no side below the window's."""
    if (image.shape[1], image.shape[0]) != size:
        shrinks = image.shape[0] * image.shape[1] > size[0] * size[1]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    return np.pad(luma, [(0, max(_WINDOW_PX - side, 0)) for side in luma.shape], "edge")
