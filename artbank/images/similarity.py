"""Structural similarity of a picture and its photo, and flags of pictures that show nothing.

Pictures are uint8 [H, W, 3] sRGB.
"""

from __future__ import annotations

import cv2
import numpy as np

WINDOW_PX = 11
SIGMA_PX = 1.5
C1 = 0.01**2
C2 = 0.03**2
_MAX_SIDE_PX = 1024
_LOW_SHARE, _HIGH_SHARE = 0.001, 0.999  # of the samples of all channels: darker and brighter ones are outliers
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
    size = find_compared_size(*picture.shape[:2])
    return _measure_ssim(_luma(picture, size), _luma(photo, size))


def find_compared_size(height: int, width: int) -> tuple[int, int]:
    """Return the width and height, px, at which pictures of a height and width are compared."""
    scale = min(_MAX_SIDE_PX / max(height, width), 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def sanity_flags(image: np.ndarray) -> tuple[str, ...]:
    """Return `black`, `white` or `flat` (one colour) for a picture that shows nothing, else an empty tuple."""
    stride = max(max(image.shape) // 256, 1)
    sampled = image[::stride, ::stride]
    low, high = _find_quantiles(sampled, (_LOW_SHARE, _HIGH_SHARE))
    if high <= _MAX_BLACK:
        return ("black",)
    if low >= _MIN_WHITE:
        return ("white",)
    if cv2.meanStdDev(sampled)[1].max() < _MAX_FLAT_STD:
        return ("flat",)
    return ()


def _measure_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean similarity of two lumas float32 [H, W], 0..1, wherever the whole window lies within them.

    The sum s and the difference d of the lumas need four blurs where the lumas themselves need five:
    with their means m and variances v, 2 m1 m2 = (ms^2 - md^2) / 2 and v1 + v2 = (vs + vd) / 2, and so on.
    """
    square_sum, variance_sum = _window_moments(first + second)
    square_difference, variance_difference = _window_moments(first - second)
    likeness = square_sum - square_difference + 2 * C1
    likeness *= variance_sum - variance_difference + 2 * C2
    square_sum += square_difference + 2 * C1
    variance_sum += variance_difference + 2 * C2
    likeness /= np.multiply(square_sum, variance_sum, out=square_sum)
    inside = slice(WINDOW_PX // 2, -(WINDOW_PX // 2))
    return float(likeness[inside, inside].mean(dtype=np.float64))


def _window_moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared means and the variances within the window around each pixel, both [H, W]."""
    window = {"ksize": (WINDOW_PX, WINDOW_PX), "sigmaX": SIGMA_PX}
    squared_mean = cv2.GaussianBlur(values, **window)
    variance = cv2.GaussianBlur(np.square(values, out=values), **window)
    np.square(squared_mean, out=squared_mean)
    variance -= squared_mean
    return squared_mean, variance


def _find_quantiles(samples: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Return the values of uint8 samples below which shares of them lie, as `np.quantile` does, from their counts."""
    last_ranks = np.cumsum(cv2.calcHist([samples.reshape(-1, 1)], [0], None, [256], [0, 256]), dtype=np.int64)
    positions = np.array(shares) * (samples.size - 1)
    below, above = (np.searchsorted(last_ranks, edge(positions), side="right") for edge in (np.floor, np.ceil))
    return [float(value) for value in below + (above - below) * (positions - np.floor(positions))]


def _luma(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the luma of an image, 0..1, at a size (width, height); sides below the window are padded."""
    if (image.shape[1], image.shape[0]) != size:
        shrinks = image.shape[0] * image.shape[1] > size[0] * size[1]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    return np.pad(luma, [(0, max(WINDOW_PX - side, 0)) for side in luma.shape], "edge")
