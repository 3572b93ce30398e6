"""The description that people gave a photo, not what its camera writes into every file."""

from __future__ import annotations

import struct

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from artbank.images.photo_description import find_description
from artbank.images.photo_metadata import read_photo_metadata
from artbank.images.xmp_packets import DC, localized, write_packet
from tests.support.image_files import draw, save


def found(data: bytes) -> str:
    return find_description(read_photo_metadata(data))


def jpeg(exif: str = "", xmp: str = "", iptc: str = "") -> bytes:
    tags = Image.Exif()
    if exif:
        tags[0x010E] = exif.encode()
    options = {"xmp": write_packet([localized(f"{{{DC}}}description", xmp)])} if xmp else {}
    data = save(draw(), "JPEG", exif=tags.tobytes(), **options)
    if not iptc:
        return data
    record = b"\x1c\x02\x78" + struct.pack(">H", len(iptc)) + iptc.encode()
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record + bytes(len(record) % 2)
    segment = b"Photoshop 3.0\0" + block
    return data[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def test_xmp_comes_before_iptc_before_exif() -> None:
    assert found(jpeg("Teich", "Seerosen", "Bruecke")) == "Seerosen"
    assert found(jpeg("Teich", iptc="Bruecke")) == "Bruecke"
    assert found(jpeg("Café am Teich")) == "Café am Teich"
    assert found(jpeg()) == ""


def test_a_png_has_its_description_in_a_text() -> None:
    info = PngInfo()
    info.add_itxt("Description", "lilies 睡蓮")
    assert found(save(draw(), "PNG", pnginfo=info)) == "lilies 睡蓮"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "OLYMPUS DIGITAL CAMERA         ",
            "SONY DSC",
            "KONICA MINOLTA DIGITAL CAMERA",
            "DCIM\\100MEDIA\\DJI_0001.JPG",
        ),
        *(
            "<Digimax S500 / Kenox S500 / Digimax Cyber 530>",
            "Created with GIMP",
            "Screenshot",
            "?????",
            "  \n",
            "default",
        ),
    ],
)
def test_what_cameras_and_programs_write_is_no_description(text: str) -> None:
    assert found(jpeg(text)) == ""
    assert found(jpeg(text, iptc="a pond")) == "a pond"


@pytest.mark.parametrize("text", ["a digital camera on a table", "Sony, our dog", "a hill, created in anger"])
def test_people_may_use_the_words_of_cameras(text: str) -> None:
    assert found(jpeg(text)) == text


def test_a_long_description_is_cut() -> None:
    assert len(found(jpeg("x" * 30_000))) == 10_000
