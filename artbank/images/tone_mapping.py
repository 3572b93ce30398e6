"""Map pictures of high dynamic range (PQ, HLG) to sRGB.

Shape legend: H, W height and width, px; h rows of a band.

Light below the white of diffuse objects, 203 cd/m2, keeps its brightness if nothing in the picture is brighter.
Else the brightest light of the picture becomes white, and what is darker is bent towards it, by the curve of BT.2390;
hues stay. Colours outside sRGB are clipped.

Source: ITU-R BT.2100-2 (PQ, HLG), BT.2390-11 section 5.4 (the curve), BT.2408-7 (203 cd/m2).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from artbank.images.icc_profiles import SRGB, Primaries

Transfer = Literal["PQ", "HLG"]

_WHITE_NITS = 203.0
_PQ_PEAK_NITS = 10_000.0
_HLG_PEAK_NITS = 1000.0
_HLG_GAMMA = 1.2  # the system gamma of a display of that peak
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_BRIGHTEST = 0.9995  # part of the pixels that the peak is not below: single hot pixels do not darken a picture
_ROWS = 128  # of a band; bounds the memory


def tone_map(rgb: np.ndarray, transfer: Transfer, primaries: Primaries) -> np.ndarray:
    """Return the picture in sRGB, uint8 [H, W, 3].

    Args:
        rgb: The coded values, uint8 or uint16 [H, W, 3]; the largest number of the type is 1.
        transfer: The curve of these values.
        primaries: Their primaries.

    Raises:
        ValueError: The primaries span no colour space.
    """
    light = _light_of_codes(transfer, rgb.dtype)
    to_xyz = primaries.to_xyz()
    to_srgb = np.linalg.inv(SRGB.to_xyz()) @ to_xyz
    luma = to_xyz[1] / to_xyz[1].sum()
    bands = range(0, len(rgb), _ROWS)
    peak = _find_peak(np.concatenate([_nits(rgb[top : top + _ROWS], light, luma, transfer).max(2) for top in bands]))
    mapped = np.empty(rgb.shape, np.uint8)
    for top in bands:
        nits = _nits(rgb[top : top + _ROWS], light, luma, transfer)  # [h, W, 3]
        bent = nits * _gain(nits.max(2, keepdims=True), peak)
        linear = np.clip(bent / _WHITE_NITS @ to_srgb.T.astype(np.float32), 0, 1)
        mapped[top : top + _ROWS] = np.round(encode_srgb(linear) * 255)
    return mapped


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Return sRGB's values 0..1 of linear light 0..1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def _light_of_codes(transfer: Transfer, dtype: np.dtype) -> np.ndarray:
    """Return the light of each code: cd/m2 for PQ, of the scene, 0..1, for HLG."""
    codes = np.linspace(0, 1, np.iinfo(dtype).max + 1)
    if transfer == "PQ":
        return (_pq_to_nits(codes)).astype(np.float32)
    return np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - _C) / _A) + _B) / 12).astype(np.float32)


def _nits(codes: np.ndarray, light: np.ndarray, luma: np.ndarray, transfer: Transfer) -> np.ndarray:
    """Return the light that a display gives for coded values, cd/m2, float32 of their shape."""
    linear = light[codes]
    if transfer == "PQ":
        return linear
    scene = np.maximum(linear @ luma.astype(np.float32), 1e-9)[..., None]
    return _HLG_PEAK_NITS * scene ** (_HLG_GAMMA - 1) * linear


def _find_peak(brightest: np.ndarray) -> float:
    """Return the brightest light of a picture, cd/m2, at least that of white."""
    at = int(brightest.size * _BRIGHTEST)
    return max(float(np.partition(brightest, min(at, brightest.size - 1), None).flat[at]), _WHITE_NITS)


def _gain(brightest: np.ndarray, peak: float) -> np.ndarray:
    """Return the factor for pixels whose brightest channel has some light, cd/m2: BT.2390's curve."""
    if peak <= _WHITE_NITS:
        return np.ones_like(brightest)
    top = float(_nits_to_pq(np.array(peak)))
    white = float(_nits_to_pq(np.array(_WHITE_NITS))) / top
    knee = 1.5 * white - 0.5
    codes = np.clip(_nits_to_pq(brightest) / top, 0, 1)
    t = np.maximum((codes - knee) / (1 - knee), 0)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    target = _pq_to_nits(np.where(codes < knee, codes, bent) * top)
    return (target / np.maximum(brightest, 1e-6)).astype(np.float32)


def _pq_to_nits(codes: np.ndarray) -> np.ndarray:
    root = codes ** (1 / _M2)
    return _PQ_PEAK_NITS * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)


def _nits_to_pq(nits: np.ndarray) -> np.ndarray:
    power = (nits / _PQ_PEAK_NITS) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
