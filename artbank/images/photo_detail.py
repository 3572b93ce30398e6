"""Give an enlarged picture the fine detail of its photo: edges and textures that its working size cannot hold.

Shape legend: H x W the photo, h x w its working image and the picture; all uint8 sRGB, luma 0..255.

The detail is luma alone, so the colours stay those of the painting. Two bands are added, each times a local gain g:

    coarse    what the autoencoder of the model blurs: the working image minus its blur, before the picture is enlarged
    fine      the photo minus its enlarged working image, after the picture is enlarged

    g = min(s, 1) (0.35 + 0.65 max(r, 0))

s is the ratio of the standard deviations of picture and photo around a pixel, r their correlation. Where the style
painted a flat area s is small, and where it painted other shapes r is small: the photo's texture does not show through.

Source: ArtBank has no such step. Local statistics that carry detail from one image to another are from the guided
filter, He et al., ECCV 2010.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from artbank.images.codec import resize

_WINDOW = (7, 7)  # px of the working image
_NOISE = 16.0  # variance; areas of the photo with less are flat, and get little of its grain
_LEAST = 0.35  # of the gain, where picture and photo do not agree
_COARSE = 0.7  # more than that doubles the edges that the picture has by itself
_BLUR_PX = 1.5  # standard deviation; the rest of the working image is what the autoencoder keeps
_QUALITY = 90
_MAX_SIDE_PX = 65_500  # of a JPEG
_ZERO = 128  # stored for no detail
_ONE = 128  # a gain of 1, so that gain times detail fits in 16 bits
_STRIP_PX = 64  # rows at a time: the intermediate values of a large picture need more memory than the picture


def extract_detail(luma: np.ndarray, working: np.ndarray) -> bytes | None:
    """Return the luma of a photo [H, W] minus that of its working image [h, w, 3], as a JPEG.

    The JPEG has half the difference, so that any fits. All pictures of the photo share it.

    Returns:
        The file; None for a photo that is no larger than its working image, or too long for a JPEG.
    """
    height, width = luma.shape
    if height <= working.shape[0] or width <= working.shape[1] or max(height, width) > _MAX_SIDE_PX:
        return None
    known = cv2.resize(_luma(working), (width, height), interpolation=cv2.INTER_CUBIC)
    half = cv2.addWeighted(luma, 0.5, known, -0.5, _ZERO)
    file = io.BytesIO()
    Image.fromarray(half).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def enlarge(
    picture: np.ndarray, working: np.ndarray, size: tuple[int, int], detail: bytes | None, weight: float
) -> np.ndarray:
    """Enlarge a picture [h, w, 3], and add the detail of its photo.

    Args:
        picture: The picture.
        working: The working image of the photo, of the same size.
        size: Width W and height H of the result, px.
        detail: From `extract_detail`; None enlarges the picture only.
        weight: Share of the detail, 0..1.

    Returns:
        uint8 [H, W, 3].
    """
    if detail is None or not weight:
        return resize(picture, *size)
    photo_luma = _luma(working).astype(np.float32)
    gain = weight * _measure_gain(_luma(picture).astype(np.float32), photo_luma)
    coarse = photo_luma - cv2.GaussianBlur(photo_luma, (0, 0), _BLUR_PX, borderType=cv2.BORDER_REFLECT)
    sharpened = np.clip(np.rint(picture + (_COARSE * gain * coarse)[..., None]), 0, 255).astype(np.uint8)
    enlarged = resize(sharpened, *size)
    steps = np.rint(gain * _ONE).astype(np.uint8)
    return _add_fine(enlarged, cv2.resize(steps, size, interpolation=cv2.INTER_LINEAR), detail)


def _add_fine(enlarged: np.ndarray, gain: np.ndarray, detail: bytes) -> np.ndarray:
    """Add detail times gain [H, W], in steps of 1/128, to a picture [H, W, 3]."""
    half = np.asarray(Image.open(io.BytesIO(detail)))
    result = np.empty_like(enlarged)
    for top in range(0, len(result), _STRIP_PX):
        rows = slice(top, top + _STRIP_PX)
        change = half[rows].astype(np.int16) - _ZERO
        change *= gain[rows]  # at most 128 x 128
        change += _ONE // 4
        change >>= 6  # the stored half times 2, by the unit of the gain, which is 128
        cv2.add(enlarged[rows], cv2.merge([change] * 3), dst=result[rows], dtype=cv2.CV_8U)
    return result


def _measure_gain(picture: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Return g, float32 [h, w], 0..1, of two lumas float32 [h, w]."""
    picture_mean, photo_mean = _average(picture), _average(photo)
    picture_variance = np.maximum(_average(picture * picture) - picture_mean**2, 0)
    photo_variance = np.maximum(_average(photo * photo) - photo_mean**2, 0) + _NOISE
    covariance = _average(picture * photo) - picture_mean * photo_mean
    ratio = np.minimum(np.sqrt(picture_variance / photo_variance), 1)
    correlation = np.clip(covariance / np.sqrt((picture_variance + _NOISE) * photo_variance), 0, 1)
    return _average(ratio * (_LEAST + (1 - _LEAST) * correlation))


def _average(values: np.ndarray) -> np.ndarray:
    return cv2.blur(values, _WINDOW, borderType=cv2.BORDER_REFLECT)


def _luma(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
