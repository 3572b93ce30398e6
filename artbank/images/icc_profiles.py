"""Build ICC profiles for colour spaces that a file names without embedding a profile, so that LittleCMS converts them.

Chromaticities are CIE xy; XYZ is relative to a white of Y = 1.

Source: ICC.1:2022, sections 8 to 10; Bradford adaptation as in its annex E.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

Curve = float | None
"""Exponent of a power curve from values to light; None is the curve of sRGB."""

Point = tuple[float, float]

_D65 = (0.3127, 0.3290)
_D50_XYZ = np.array([0.9642, 1.0, 0.8249])  # the white of ICC's connection space
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


@dataclass(frozen=True)
class Primaries:
    """Chromaticities of an RGB colour space."""

    red: Point
    green: Point
    blue: Point
    white: Point = _D65

    def to_xyz(self) -> np.ndarray:
        """Return the matrix [3, 3] from linear RGB to XYZ.

        Raises:
            ValueError: The primaries span no colour space.
        """
        columns = np.array([_xyz(point) for point in (self.red, self.green, self.blue)]).T
        try:
            matrix = columns * np.linalg.solve(columns, _xyz(self.white))
        except np.linalg.LinAlgError as error:
            raise ValueError("the primaries lie on a line") from error
        if not np.isfinite(matrix).all() or np.abs(matrix).max() > 30:  # ICC's numbers end at 32768
            raise ValueError("the primaries span no colour space")
        return matrix


SRGB = Primaries((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = Primaries((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


@lru_cache(maxsize=64)
def rgb_profile(primaries: Primaries, curve: Curve) -> bytes:
    """Return an ICC profile for RGB images.

    Raises:
        ValueError: The primaries span no colour space.
    """
    return _rgb_profile(_adapt_to_d50(_xyz(primaries.white)) @ primaries.to_xyz(), curve)


@lru_cache(maxsize=64)
def gray_profile(curve: Curve) -> bytes:
    """Return an ICC profile for gray images."""
    return _profile(b"GRAY", {"kTRC": _curve_tag(curve)})


def is_linear(profile: bytes) -> bool:
    """Return whether the values of an RGB or gray profile are proportional to light.

    Raises:
        OSError, ImageCms.PyCMSError: The profile cannot be used.
    """
    space = _open_profile(profile).profile.xcolor_space.strip()
    probe = Image.new("L" if space == "GRAY" else "RGB", (1, 1), "#373737")  # 0.216 of white is sRGB 128
    converted = ImageCms.profileToProfile(
        probe, _open_profile(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None
    return abs(np.asarray(converted).mean() - 128) < 6


def with_srgb_curve(profile: bytes) -> bytes:
    """Return a profile with the primaries of another one, and the curve of sRGB.

    Raises:
        ValueError, OSError: The profile has no primaries.
    """
    opened = _open_profile(profile).profile
    if opened.xcolor_space.strip() == "GRAY":
        return gray_profile(None)
    red, green, blue = opened.red_colorant, opened.green_colorant, opened.blue_colorant
    if red is None or green is None or blue is None:
        raise ValueError("the profile has no primaries")
    return _rgb_profile(np.array([red[0], green[0], blue[0]]).T, None)


def _open_profile(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _rgb_profile(colorants: np.ndarray, curve: Curve) -> bytes:
    """Return a profile of the XYZ [3, 3] of red, green and blue in its columns, under D50."""
    tags = {f"{channel}XYZ": _xyz_tag(column) for channel, column in zip("rgb", colorants.T, strict=True)}
    tags |= {f"{channel}TRC": _curve_tag(curve) for channel in "rgb"}
    return _profile(b"RGB ", tags)


def _xyz(point: Point) -> np.ndarray:
    x, y = point
    if not (0 < y <= 1 and 0 <= x <= 1):
        raise ValueError("a chromaticity is outside 0..1")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adapt_to_d50(white: np.ndarray) -> np.ndarray:
    gains = (_BRADFORD @ _D50_XYZ) / (_BRADFORD @ white)
    if not np.isfinite(gains).all():
        raise ValueError("the white point cannot be adapted to")
    return np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD


def _profile(space: bytes, tags: dict[str, bytes]) -> bytes:
    """Return a display profile of version 4 with its tags."""
    tags = {"desc": _text_tag("named colour space"), "cprt": _text_tag("none"), "wtpt": _xyz_tag(_D50_XYZ)} | tags
    table = struct.pack(">I", len(tags))
    body = b""
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", 128 + len(table + body), b"lcms", 0x04200000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + _fixed(_D50_XYZ)
    return header.ljust(128, b"\0") + table + body


def _text_tag(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">III4sII", 0, 1, 12, b"enUS", len(encoded), 28) + encoded


def _xyz_tag(xyz: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(xyz)


def _curve_tag(curve: Curve) -> bytes:
    kind, parameters = (3, _SRGB_CURVE) if curve is None else (0, (curve,))
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(np.array(parameters))


def _fixed(values: np.ndarray) -> bytes:
    """Return numbers as s15Fixed16."""
    return np.round(values * 65536).astype(">i4").tobytes()
