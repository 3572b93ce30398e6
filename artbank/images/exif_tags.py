"""Exif: what a photo's tags say of its making, and the tags that a picture keeps.

Tags that describe the file or its pixels are never kept: orientation, sizes, thumbnails, colour, notes of the maker.

Source: Exif 3.0 (CIPA DC-008) for tags; the encoding of texts is UTF-8, as in Exif 3.0, and read as Latin-1 else.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from PIL import Image, TiffTags

from artbank.images.capture_dates import Moment
from artbank.images.credits import Credits

ARTIST, COPYRIGHT = 0x013B, 0x8298
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_VERSION, _TAKEN, _OFFSET, _FRACTION = 0x9000, 0x9003, 0x9011, 0x9291
_IMAGE_TAGS = (0x010E, 0x010F, 0x0110, 0x013C)  # description, maker and model of the camera, host computer
_CAMERA_TAGS = (
    *(0x829A, 0x829D, 0x8822, 0x8827, 0x8830, 0x8831, 0x8832, 0x8833),  # exposure, aperture, sensitivity
    *(0x9004, 0x9010, 0x9012, 0x9290, 0x9292),  # the other dates' offsets and fractions, and when it was digitized
    *(0x9201, 0x9202, 0x9203, 0x9204, 0x9205, 0x9206, 0x9207, 0x9208, 0x9209, 0x920A),  # light
    *(0xA217, 0xA402, 0xA403, 0xA404, 0xA405, 0xA406, 0xA408, 0xA409, 0xA40A, 0xA420),  # sensor, scene
    *(0xA430, 0xA431, 0xA432, 0xA433, 0xA434, 0xA435),  # owner, numbers, lens
)
_GPS_BYTES = (0x00, 0x05)  # version and reference of the altitude; Pillow knows no other type for bytes


def read_text(exif: Image.Exif, tag: int) -> str:
    """Return a text of the first directory; empty if the tag is missing, or no text."""
    try:
        return _to_text(exif.get(tag, ""))
    except Exception:  # Pillow reads values when they are asked for, and raises almost any exception on damaged ones
        return ""


def read_moment(exif: Image.Exif) -> Moment | None:
    """Return when the photo was taken; None if Exif does not say."""
    try:
        tags = exif.get_ifd(_EXIF_IFD)
        texts = [_to_text(tags.get(tag, "")) for tag in (_TAKEN, _FRACTION, _OFFSET)]
    except Exception:  # as above
        return None
    return Moment.parse(texts[0], fraction=texts[1], offset=texts[2])


def build_exif(photo: Image.Exif, credit: Credits, *, with_all: bool) -> tuple[bytes, list[str]]:
    """Return the Exif of a picture, and what it keeps beside the credits, as rows name it.

    Args:
        photo: The photo's Exif.
        credit: The photo's credits.
        with_all: Keep what the camera wrote, and the place, too.
    """
    image: dict[int, Any] = {}
    if credit.artists:
        image[ARTIST] = "; ".join(credit.artists).encode()
    if credit.copyright:
        image[COPYRIGHT] = credit.copyright.encode()
    camera: dict[int, Any] = {}
    if credit.captured is not None and credit.captured.time:
        texts = {_TAKEN: credit.captured.exif, _FRACTION: credit.captured.fraction, _OFFSET: credit.captured.offset}
        camera = {tag: text for tag, text in texts.items() if text}
    names: list[str] = []
    place: dict[int, Any] = {}
    if with_all:
        copied = [_copy(photo, None, _IMAGE_TAGS), _copy(photo, _EXIF_IFD, _CAMERA_TAGS)]
        place = _copy(photo, _GPS_IFD, range(32))
        image, camera = {**copied[0], **image}, {**copied[1], **camera}
        names = [name for name, is_copied in (("gps", place), ("camera", any(copied))) if is_copied]
    if camera:
        camera[_VERSION] = b"0232"
    return _pack(image, camera, place), names


def _copy(photo: Image.Exif, ifd: int | None, tags: Any) -> dict[int, Any]:
    """Return those tags of a directory that can be written again."""
    try:
        source = photo if ifd is None else photo.get_ifd(ifd)
    except Exception:  # as above
        return {}
    values = {}
    for tag in tags:
        try:
            value = _as_written(source[tag], tag)
            if value is None:
                continue
            _pack(*({tag: value} if ifd == part else {} for part in (None, _EXIF_IFD, _GPS_IFD)))
        except Exception:  # missing, damaged, or of a type that Pillow cannot write
            continue
        values[tag] = value
    return values


def _as_written(value: Any, tag: int) -> Any:
    """Return a value as Pillow must get it to write it with the type that it had; None if that cannot be."""
    if isinstance(value, bytes):
        return value if tag in _GPS_BYTES else None
    if not isinstance(value, str):
        return value
    text = _to_text(value)
    if text.isascii():
        return text or None
    return text.encode() if TiffTags.lookup(tag).type == TiffTags.ASCII else None


def _pack(image: dict[int, Any], camera: dict[int, Any], place: dict[int, Any]) -> bytes:
    if not (image or camera or place):
        return b""
    exif = Image.Exif()
    for tag, value in image.items():
        exif[tag] = value
    for ifd, tags in ((_EXIF_IFD, camera), (_GPS_IFD, place)):
        if tags:
            exif[ifd] = tags
    return exif.tobytes()


def _to_text(value: Any) -> str:
    """Return a text as it was meant; Pillow reads its bytes as Latin-1."""
    if not isinstance(value, str):
        return ""
    with suppress(UnicodeError):
        value = value.encode("latin-1").decode("utf-8")
    return value.replace("\0", " ").strip()
