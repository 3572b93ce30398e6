"""The properties of a photo's XMP that its picture keeps, and the credits that any of its metadata names.

Properties that describe the file, its history or its pixels are never kept: of the picture they would be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from artbank.images.capture_dates import Moment
from artbank.images.credits import Credits
from artbank.images.exif_tags import ARTIST, COPYRIGHT, read_moment, read_text
from artbank.images.photo_metadata import PhotoMetadata
from artbank.images.xmp_packets import (
    CREATIVE_COMMONS,
    DC,
    EXIF,
    IPTC_CORE,
    IPTC_EXT,
    PHOTOSHOP,
    PLUS,
    RIGHTS,
    SOURCE_TYPE,
    XMP,
    localized,
    ordered,
    simple,
    texts_of,
    unordered,
)

_RIGHTS, _CREATOR, _CREATED = f"{{{DC}}}rights", f"{{{DC}}}creator", f"{{{PHOTOSHOP}}}DateCreated"
_DATES = (f"{{{EXIF}}}DateTimeOriginal", _CREATED)
_CREDIT = f"{{{PHOTOSHOP}}}Credit"
_OF_RIGHTS = (RIGHTS, PLUS, CREATIVE_COMMONS)
_OF_CONTENT = (DC, IPTC_CORE, IPTC_EXT, "http://ns.adobe.com/lightroom/1.0/")
_GPS = f"{{{EXIF}}}GPS"
_NEVER = (SOURCE_TYPE, f"{{{DC}}}format")
_OF_PHOTOSHOP = (
    *("AuthorsPosition", "CaptionWriter", "Category", "City", "Country", "Headline", "Instructions", "Source", "State"),
    *("SupplementalCategories", "TransmissionReference", "Urgency"),
)
_MORE = {f"{{{XMP}}}Label", f"{{{XMP}}}Rating", *(f"{{{PHOTOSHOP}}}{name}" for name in _OF_PHOTOSHOP)}
_IPTC_RIGHTS, _IPTC_CREATOR, _IPTC_CREDIT, _IPTC_DATE, _IPTC_TIME = (2, 116), (2, 80), (2, 110), (2, 55), (2, 60)
_IPTC_DESCRIPTION, _IPTC_KEYWORDS = (2, 120), (2, 25)
_IPTC_PLACES = {(2, 90): "City", (2, 95): "State", (2, 101): "Country", (2, 105): "Headline"}


def find_credits(photo: PhotoMetadata) -> Credits:
    """Return the credits of a photo: of XMP, Exif, IPTC records and texts of PNG the first that names them."""
    artists = texts_of(photo.xmp, _CREATOR) or [name.strip() for name in read_text(photo.exif, ARTIST).split(";")]
    artists = (
        [artist for artist in artists if artist] or photo.iptc.get(_IPTC_CREATOR, []) or [photo.texts.get("author", "")]
    )
    notices = (
        *texts_of(photo.xmp, _RIGHTS)[:1],
        read_text(photo.exif, COPYRIGHT),
        *photo.iptc.get(_IPTC_RIGHTS, [])[:1],
        photo.texts.get("copyright", ""),
    )
    return Credits(
        copyright=next((notice.strip() for notice in notices if notice.strip()), ""),
        artists=tuple(artist.strip() for artist in artists if artist.strip()),
        captured=next((moment for moment in _moments(photo) if moment is not None), None),
    )


def choose_properties(photo: PhotoMetadata, credit: Credits, *, with_all: bool) -> tuple[list[Element], list[str]]:
    """Return the properties that a picture gets from its photo, and what kinds they are, as rows name them.

    Args:
        photo: The photo's metadata.
        credit: From `find_credits`; these are written as XMP wherever they come from.
        with_all: Keep descriptions and places too.
    """
    kept = {name: element for name, element in photo.xmp.items() if _is_kept(name, with_all=with_all)}
    if credit.copyright:
        kept.setdefault(_RIGHTS, localized(_RIGHTS, credit.copyright))
    if credit.artists:
        kept.setdefault(_CREATOR, ordered(_CREATOR, credit.artists))
    if credit.captured is not None:
        kept[_CREATED] = simple(_CREATED, credit.captured.iso)
    if texts := photo.iptc.get(_IPTC_CREDIT):
        kept.setdefault(_CREDIT, simple(_CREDIT, texts[0]))
    if with_all:
        for name, element in _from_iptc(photo):
            kept.setdefault(name, element)
    return list(kept.values()), list(dict.fromkeys(_kind(name) for name in kept if _kind(name)))


def _is_kept(name: str, *, with_all: bool) -> bool:
    namespace = name[1:].partition("}")[0]
    if name in _NEVER:
        return False
    if name in (_RIGHTS, _CREATOR, _CREDIT) or namespace in _OF_RIGHTS or name.endswith("}AIGC"):
        return True
    return with_all and (namespace in _OF_CONTENT or name in _MORE or name.startswith(_GPS))


def _kind(name: str) -> str:
    namespace = name[1:].partition("}")[0]
    if name in (_RIGHTS, _CREATOR, _CREATED) or name.endswith("}AIGC"):
        return ""  # told by the credits, or by the photo's marks
    if name == _CREDIT or namespace in _OF_RIGHTS:
        return "rights"
    return "gps" if name.startswith(_GPS) else "description"


def _moments(photo: PhotoMetadata) -> Iterator[Moment | None]:
    yield read_moment(photo.exif)
    for name in _DATES:
        yield from (Moment.parse(text) for text in texts_of(photo.xmp, name)[:1])
    for date in photo.iptc.get(_IPTC_DATE, [])[:1]:
        time = "".join(photo.iptc.get(_IPTC_TIME, [])[:1])
        yield Moment.parse(f"{date}T{time}" if time else date) or Moment.parse(date)
    yield Moment.parse(photo.texts.get("creation time", ""))


def _from_iptc(photo: PhotoMetadata) -> Iterator[tuple[str, Element]]:
    for text in photo.iptc.get(_IPTC_DESCRIPTION, [])[:1]:
        yield f"{{{DC}}}description", localized(f"{{{DC}}}description", text)
    if keywords := photo.iptc.get(_IPTC_KEYWORDS):
        yield f"{{{DC}}}subject", unordered(f"{{{DC}}}subject", keywords)
    for dataset, local in _IPTC_PLACES.items():
        for text in photo.iptc.get(dataset, [])[:1]:
            yield f"{{{PHOTOSHOP}}}{local}", simple(f"{{{PHOTOSHOP}}}{local}", text)
