"""The description of a photo in its own metadata, without the texts that cameras and programs write there.

Source: the fields are those of the IPTC Photo Metadata Standard 2023.2 for "Description", and `Description` of PNG,
third edition, section 11.3.3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from artbank.images.exif_tags import read_text
from artbank.images.photo_metadata import PhotoMetadata
from artbank.images.xmp_packets import DESCRIPTION, texts_of

_EXIF_DESCRIPTION = 0x010E
_IPTC_CAPTION = (2, 120)
_MAKERS = r"(?:(?:aigo|casio|kodak|konica|minolta|my|olympus|pentax|samsung|sony)\W+)*"
_NOT_OF_PEOPLE = re.compile(
    rf"{_MAKERS}(?:digital (?:still )?camera|dsc|dcf)|exif_jpeg_picture|jpeg|dcim\\.*|<.*>|charset=\S*|"
    r"screenshot|default|untitled|(?:created|edited|made) (?:with|by|in) .*",
    re.IGNORECASE,
)
_MAX_LENGTH = 10_000  # characters


def find_description(photo: PhotoMetadata) -> str:
    """Return what people say that a photo shows: of XMP, IPTC record, Exif and texts of PNG the first that says it.

    Args:
        photo: The photo's metadata, which is untrusted.

    Returns:
        At most 10,000 characters of any kind; empty without a description.
    """
    return next((text[:_MAX_LENGTH] for text in _texts(photo) if _is_of_people(text)), "")


def _texts(photo: PhotoMetadata) -> Iterator[str]:
    yield from texts_of(photo.xmp, DESCRIPTION)[:1]
    yield from photo.iptc.get(_IPTC_CAPTION, [])[:1]
    yield read_text(photo.exif, _EXIF_DESCRIPTION)
    yield photo.texts.get("description", "")


def _is_of_people(text: str) -> bool:
    start = " ".join(text[:_MAX_LENGTH].split())
    return any(character.isalpha() for character in start) and _NOT_OF_PEOPLE.fullmatch(start) is None
