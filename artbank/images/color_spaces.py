"""Find the colour space of an opened image: its ICC profile, or what its format or its Exif says instead.

The order within a file: code points (cICP of PNG, nclx of AVIF and HEIF), an embedded profile, other chunks or tags of
the format, Exif. In AVIF and HEIF an embedded profile comes before the code points. A file that says nothing is sRGB.

Source: ITU-T H.273 (code points), PNG third edition, DCF 2.0 (Exif of Adobe RGB), TIFF 6.0 section 20.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from artbank.images.icc_profiles import ADOBE_RGB, SRGB, Curve, Primaries, gray_profile, rgb_profile
from artbank.images.tone_mapping import Transfer

_DCI_WHITE, _C_WHITE, _E_WHITE = (0.314, 0.351), (0.310, 0.316), (1 / 3, 1 / 3)
_BT601_525 = Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_PRIMARIES = {
    1: SRGB,
    4: Primaries((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C_WHITE),
    5: Primaries((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _BT601_525,
    7: _BT601_525,
    8: Primaries((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C_WHITE),
    9: Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI_WHITE),
    12: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Primaries((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
"""Code points of ColourPrimaries; 10 is XYZ, which no photo has."""

_CURVES: dict[int, Curve] = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
"""Code points of TransferCharacteristics that are powers. The others, those of video among them, are shown as sRGB."""

_TRANSFERS: dict[int, Transfer] = {16: "PQ", 18: "HLG"}

_COLOR_SPACE, _INTEROP_IFD, _INTEROP_INDEX, _EXIF_IFD = 0xA001, 0xA005, 0x0001, 0x8769
_MAKE, _EXPOSURE_TIME = 0x010F, 0x829A
_ADOBE, _UNCALIBRATED = 2, 0xFFFF
_WHITE_POINT, _PRIMARY_CHROMATICITIES = 318, 319  # tags of TIFF
_GAMMA_OF_SRGB = 0.45455  # PNG tells files of sRGB to say so, for programs that do not know sRGB's own curve
_MAX_BOX_BYTES = 2**20


@dataclass(frozen=True)
class ColorSpace:
    """The colours that the values of an image stand for.

    Attributes:
        profile: An ICC profile; None is sRGB.
        transfer: The curve of an image of high dynamic range, which `tone_mapping` converts; its profile is not used.
        primaries: The primaries of such an image.
        is_narrow: Whether 16 and 235 stand for black and white, as in video.
        note: A sentence about a conversion that the owner of the file should know; empty if there is none.
    """

    profile: bytes | None = None
    transfer: Transfer | None = None
    primaries: Primaries = SRGB
    is_narrow: bool = False
    note: str = ""


def read_color_space(image: Image.Image, data: bytes) -> ColorSpace:
    """Return the colour space of an image that was opened from a file, and loaded.

    Args:
        image: The image.
        data: Content of its file.
    """
    try:
        return _read(image, data)
    except (ValueError, TypeError, KeyError, IndexError, OSError, SyntaxError, struct.error, ArithmeticError):
        return ColorSpace(image.info.get("icc_profile"))  # what cannot be read says nothing


def _read(image: Image.Image, data: bytes) -> ColorSpace:
    profile: bytes | None = image.info.get("icc_profile")
    points = _read_png_points(data) if image.format == "PNG" else None
    if points is None and profile:
        points = _read_profile_points(profile)  # only of a high dynamic range; else the profile itself is more exact
    if points is None and not profile and image.format in ("AVIF", "HEIF"):
        points = _read_nclx(image, data)
    if points is not None:
        return _from_points(*points, mode=image.mode)
    if profile:
        return ColorSpace(profile)
    return _from_format(image) or _from_exif(image)


def _from_points(primaries: int, transfer: int, is_full: bool, *, mode: str) -> ColorSpace:
    """Return the colour space of code points of H.273; unknown ones count as sRGB's."""
    named = _PRIMARIES.get(primaries, SRGB)
    if transfer in _TRANSFERS:
        kind = _TRANSFERS[transfer]
        return ColorSpace(
            transfer=kind,
            primaries=named,
            is_narrow=not is_full,
            note=f"mapped from high dynamic range ({kind}) to sRGB",
        )
    profile = _named_profile(named, _CURVES.get(transfer), mode)
    return ColorSpace(profile, is_narrow=not is_full)


def _named_profile(primaries: Primaries, curve: Curve, mode: str) -> bytes | None:
    if mode in ("L", "LA", "La", "1", "I", "F") or mode.startswith("I;"):
        return None if curve is None else gray_profile(curve)
    return None if (primaries, curve) == (SRGB, None) else rgb_profile(primaries, curve)


def _read_png_points(data: bytes) -> tuple[int, int, bool] | None:
    """Return primaries, transfer and whether the range is full, from the chunk cICP before a PNG's pixels."""
    for kind, body in _png_chunks(data):
        if kind == b"cICP" and len(body) == 4 and body[2] == 0:  # other matrices are for YCbCr, which PNG is not
            return body[0], body[1], bool(body[3])
    return None


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IDAT":
            return
        yield kind, data[position + 8 : position + 8 + min(size, _MAX_BOX_BYTES)]
        position += 12 + size


def _read_profile_points(profile: bytes) -> tuple[int, int, bool] | None:
    """Return the code points in an ICC profile's tag `cicp` if they name a high dynamic range."""
    [count] = struct.unpack_from(">I", profile, 128)
    for index in range(min(count, 100)):
        name, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if name == b"cicp":
            primaries, transfer, _, full = profile[offset + 8 : offset + 12]
            return (primaries, transfer, bool(full)) if transfer in _TRANSFERS else None
    return None


def _read_nclx(image: Image.Image, data: bytes) -> tuple[int, int, bool] | None:
    """Return the code points of an AVIF or HEIF file; the range is full, as decoders return RGB."""
    nclx = image.info.get("nclx_profile")
    if nclx is None and image.format == "AVIF":
        from artbank.images.heif_files import read_header

        nclx = read_header(data).get("nclx_profile")
    return None if nclx is None else (nclx["color_primaries"], nclx["transfer_characteristics"], True)


def _from_format(image: Image.Image) -> ColorSpace | None:
    """Return the colour space of PNG's gAMA and cHRM or TIFF's tags; None if the format says nothing."""
    if image.format == "PNG":
        return _from_png(image.info, image.mode)
    if image.format == "TIFF" and image.mode in ("RGB", "RGBA", "RGBa", "RGBX"):
        tags: Any = getattr(image, "tag_v2", {})
        if _PRIMARY_CHROMATICITIES in tags:
            points = [float(value) for value in (*tags.get(_WHITE_POINT, SRGB.white), *tags[_PRIMARY_CHROMATICITIES])]
            return ColorSpace(_named_profile(_to_primaries(points), None, image.mode))
    return None


def _from_png(info: dict[Any, Any], mode: str) -> ColorSpace | None:
    if "srgb" in info:
        return ColorSpace()
    gamma, points = info.get("gamma"), info.get("chromaticity")
    if not gamma and not points:
        return None
    curve = None if not gamma or abs(gamma - _GAMMA_OF_SRGB) < 0.001 else 1 / gamma
    if curve is not None and not 0.1 < curve < 10:
        return None
    primaries = SRGB if points is None else _to_primaries(points)
    return ColorSpace(_named_profile(primaries, curve, mode))


def _to_primaries(points: Any) -> Primaries:
    """Return primaries from x and y of white, red, green and blue; those of sRGB exactly where they are meant."""
    values = [round(float(value), 5) for value in points]
    white, red, green, blue = [(values[at], values[at + 1]) for at in (0, 2, 4, 6)]
    primaries = Primaries(red, green, blue, white)
    usual = [number for point in (SRGB.white, SRGB.red, SRGB.green, SRGB.blue) for number in point]
    return (
        SRGB
        if all(abs(value - srgb_value) < 0.002 for value, srgb_value in zip(values, usual, strict=True))
        else primaries
    )


def _from_exif(image: Image.Image) -> ColorSpace:
    """Return Adobe RGB if Exif names it, or if a camera says that the colours are not sRGB's and nothing names them.

    Editors say the same of images without a profile, which all programs show as sRGB.
    """
    if image.mode not in ("RGB", "RGBA", "RGBa", "RGBX"):
        return ColorSpace()
    exif = Image.Image.getexif(image)
    details = exif.get_ifd(_EXIF_IFD)
    named = details.get(_COLOR_SPACE)
    index = str(exif.get_ifd(_INTEROP_IFD).get(_INTEROP_INDEX, "")).strip(" \0")
    adobe = rgb_profile(ADOBE_RGB, 563 / 256)
    if index == "R03" or named == _ADOBE:
        return ColorSpace(adobe)
    is_from_camera = _MAKE in exif or _EXPOSURE_TIME in details
    if named == _UNCALIBRATED and index != "R98" and is_from_camera:
        return ColorSpace(adobe, note="its Exif says that it is not sRGB; taken for Adobe RGB")
    return ColorSpace()
