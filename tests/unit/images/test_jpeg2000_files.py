"""Colours of JPEG 2000 files come out as in sRGB, by the profile or the colour space that their container names."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from artbank.errors import ImageError
from artbank.images.codec import decode
from artbank.images.color_spaces import _PRIMARIES
from artbank.images.icc_profiles import ADOBE_RGB, Primaries, gray_profile, rgb_profile
from artbank.images.tone_mapping import encode_srgb
from tests.support.image_files import jpeg2000, save
from tests.support.known_colours import LIMIT, check, in_space, truth

P3 = _PRIMARIES[12]
SRGB_BY_NUMBER, ROMM_BY_NUMBER = b"\1\0\0\0\0\0\x10", b"\1\0\0\0\0\0\x15"


@pytest.mark.parametrize("start", [b"\2\0\0", b"\3\0\0"])
def test_a_jpeg_2000_is_shown_by_its_profile(start: bytes) -> None:
    image = Image.fromarray(in_space(ADOBE_RGB, 563 / 256))
    profile = start + rgb_profile(ADOBE_RGB, 563 / 256)
    check(jpeg2000(image, profile))
    check(jpeg2000(image, b"\4\0\0vendor", profile, SRGB_BY_NUMBER))
    gray = Image.fromarray(np.round((truth()[..., 0] / 255) ** (1 / 1.8) * 255).astype(np.uint8))
    found = decode(jpeg2000(gray, start + gray_profile(1.8)), max_pixels=LIMIT).rgb
    assert np.abs(found - np.round(encode_srgb(truth()[..., :1] / 255) * 255)).mean() <= 2


def test_a_jpeg_2000_is_shown_by_the_colour_space_that_it_names() -> None:
    romm = Primaries((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585))
    image = ImageCms.profileToProfile(  # the white is another one, so LittleCMS adapts it
        Image.fromarray(truth()),
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(rgb_profile(romm, 1.8))),
    )
    assert image is not None
    check(jpeg2000(image, ROMM_BY_NUMBER))
    check(jpeg2000(Image.fromarray(truth()), SRGB_BY_NUMBER), most=0)
    check(jpeg2000(Image.fromarray(truth()), SRGB_BY_NUMBER, b"\2\0\0" + rgb_profile(P3, None)), most=0)


@pytest.mark.parametrize("colours", [(), (b"\2\0\0broken",), (b"\2\0\0" + bytes(200),), (b"\x63\0\0vendor",)])
def test_a_jpeg_2000_without_colours_that_make_sense_is_srgb(colours: tuple[bytes, ...]) -> None:
    image = Image.fromarray(truth())
    check(jpeg2000(image, *colours), most=0)
    check(save(image, "JPEG2000", no_jp2=True), most=0)


def test_a_jpeg_2000_of_inks_is_refused_and_not_drawn_in_other_colours() -> None:
    def of_space(name: bytes) -> bytes:
        profile = rgb_profile(P3, None)
        return jpeg2000(Image.fromarray(truth()).convert("RGBA"), b"\2\0\0" + profile[:16] + name + profile[20:])

    inks = of_space(b"CMYK")
    check(of_space(b"\0\xff\n'"), most=0)
    with pytest.raises(ImageError, match="CMYK colours") as caught:
        decode(inks, max_pixels=LIMIT)
    assert caught.value.failure == "unsupported"
