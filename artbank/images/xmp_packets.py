"""XMP packets: the properties of a photo, and the packet of a picture.

A property is an XML element below `rdf:Description`, named `{namespace}name`. Packets of photos are untrusted input:
a document type is refused, because its entities can grow without bound, and so are packets of more than 1 MB.

Source: XMP specification, part 1 (ISO 16684-1), for packets and their RDF; IPTC Photo Metadata Standard and the
NewsCodes vocabulary "Digital Source Type" for the mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
DCTERMS = "http://purl.org/dc/terms/"
EXIF = "http://ns.adobe.com/exif/1.0/"
IPTC_CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
PLUS = "http://ns.useplus.org/ldf/xmp/1.0/"
CREATIVE_COMMONS = "http://creativecommons.org/ns#"
RIGHTS = "http://ns.adobe.com/xap/1.0/rights/"
XMP = "http://ns.adobe.com/xap/1.0/"
_META = "adobe:ns:meta/"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_PREFIXES = {
    "rdf": RDF,
    "x": _META,
    "dc": DC,
    "dcterms": DCTERMS,
    "exif": EXIF,
    "Iptc4xmpCore": IPTC_CORE,
    "Iptc4xmpExt": IPTC_EXT,
    "photoshop": PHOTOSHOP,
    "plus": PLUS,
    "cc": CREATIVE_COMMONS,
    "xmpRights": RIGHTS,
    "xmp": XMP,
}

DESCRIPTION = f"{{{DC}}}description"
"""The property that says what a photo shows."""
SOURCE_TYPE = f"{{{IPTC_EXT}}}DigitalSourceType"
"""The property that says what a picture was made from."""
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""The vocabulary of its values."""
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
"""The term for a picture that a trained model and other sources made together."""

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 32
_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_END = '<?xpacket end="r"?>'
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

for _prefix, _namespace in _PREFIXES.items():
    ElementTree.register_namespace(_prefix, _namespace)


def read_packet(packet: bytes) -> dict[str, Element]:
    """Return the properties in a packet by name, the first of each; short forms become elements.

    Raises:
        ValueError: The packet cannot be read, or should not be.
    """
    if len(packet) > _MAX_BYTES:
        raise ValueError(f"expected at most {_MAX_BYTES:,} bytes of XMP, found {len(packet):,}")
    text = packet.strip(b"\0 \t\r\n")
    if re.search(rb"<!\s*(DOCTYPE|ENTITY)", text.replace(b"\0", b"")):  # without the zeros of UTF-16
        raise ValueError("expected XMP without a document type")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, LookupError, RecursionError) as error:
        raise ValueError(f"expected XMP, found other bytes: {error}") from error
    for element in root.iter():
        element.tail = None  # indentation
    by_tag: dict[str, Element] = {}
    for rdf in root.iter(f"{{{RDF}}}RDF"):
        for description in rdf.findall(f"{{{RDF}}}Description"):
            for element in _properties(description):
                by_tag.setdefault(element.tag, element)
    return by_tag


def write_packet(properties: Iterable[Element]) -> bytes:
    """Return a packet without padding; equal properties give equal bytes, in any order."""
    root = Element(f"{{{_META}}}xmpmeta")
    rdf = ElementTree.SubElement(root, f"{{{RDF}}}RDF")
    description = ElementTree.SubElement(rdf, f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    for element in sorted(properties, key=lambda element: element.tag):
        if len(element) or element.attrib:
            description.append(element)
        else:
            description.set(element.tag, _clean(element.text or ""))
    return f"{_BEGIN}{ElementTree.tostring(root, encoding='unicode')}{_END}".encode()


def mark() -> Element:
    """Return the property that marks a picture as made with a trained model."""
    return simple(SOURCE_TYPE, SOURCE_TYPES + COMPOSITE)


def simple(name: str, text: str) -> Element:
    """Return a property that is one text."""
    element = Element(name)
    element.text = _clean(text)
    return element


def localized(name: str, text: str) -> Element:
    """Return a property that is a text in the default language."""
    return _listed(name, "Alt", [text], {_XML_LANG: "x-default"})


def ordered(name: str, texts: Sequence[str]) -> Element:
    """Return a property that is a list of texts, such as names of creators."""
    return _listed(name, "Seq", texts, {})


def unordered(name: str, texts: Sequence[str]) -> Element:
    """Return a property that is a set of texts, such as keywords."""
    return _listed(name, "Bag", texts, {})


def texts_of(properties: Mapping[str, Element], name: str) -> list[str]:
    """Return the texts of a property, also of one in a list; none if it is missing or empty."""
    element = properties.get(name)
    if element is None:
        return []
    items = list(element.iter(f"{{{RDF}}}li"))
    items.sort(key=lambda item: item.get(_XML_LANG) not in (None, "x-default"))
    resource = element.get(f"{{{RDF}}}resource", "")
    texts = [item.text or "" for item in items] if items else [element.text or resource]
    return [text.strip() for text in texts if text.strip()]


def _properties(description: Element) -> Iterator[Element]:
    for name, value in description.attrib.items():
        if name.startswith("{") and not name.startswith((f"{{{RDF}}}", "{http://www.w3.org/XML/")):
            yield simple(name, value)
    for child in description:
        if child.tag.startswith("{") and _depth(child) <= _MAX_DEPTH:
            yield child


def _listed(name: str, kind: str, texts: Sequence[str], attributes: dict[str, str]) -> Element:
    element = Element(name)
    values = ElementTree.SubElement(element, f"{{{RDF}}}{kind}")
    for text in texts:
        ElementTree.SubElement(values, f"{{{RDF}}}li", attributes).text = _clean(text)
    return element


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("", text)


def _depth(element: Element) -> int:
    """Return the levels of an element, without recursion: a hostile packet has any number."""
    level = [element]
    count = 0
    while level:
        level = [child for element in level for child in element]
        count += 1
    return count
