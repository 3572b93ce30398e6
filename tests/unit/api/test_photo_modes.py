"""Images of Pillow in modes that PNG does not have."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from artbank.api.photo_inputs import find_photo
from artbank.errors import ConfigError
from artbank.images.codec import decode

_RAMP = np.linspace(0, 255, 64).round().astype(np.uint8)[None].repeat(8, 0)  # [8, 64]
_LIKE_PHOTOS = Image.merge("RGB", [Image.fromarray(one) for one in (_RAMP, _RAMP[:, ::-1], _RAMP // 2 + 60)])


def seen(image: Image.Image) -> np.ndarray:
    """Return what a run sees of an image."""
    return decode(find_photo(image).read(), max_pixels=10_000).rgb


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_gray_of_16_bits_keeps_its_tones_in_either_order_of_bytes(byte_order: str) -> None:
    mode = {"<": "I;16", ">": "I;16B"}[byte_order]
    deep = Image.frombytes(mode, (64, 8), (_RAMP.astype(f"{byte_order}u2") * 257).tobytes())
    assert np.abs(seen(deep)[..., 0].astype(int) - _RAMP).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "I;16B", "CMYK"])
def test_an_image_is_turned_upright(mode: str) -> None:
    image = Image.frombytes(mode, (64, 8), bytes(64 * 8 * {"RGB": 3, "I;16B": 2, "CMYK": 4}[mode]))
    image.getexif()[ExifTags.Base.Orientation] = 6
    assert seen(image).shape == (64, 8, 3)


def test_lab_is_converted_to_srgb() -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(_LIKE_PHOTOS, to_lab)
    assert lab is not None and lab.mode == "LAB"
    assert np.abs(seen(lab).astype(int) - np.asarray(_LIKE_PHOTOS)).mean() < 3


def test_cmyk_keeps_its_profile_and_its_inks() -> None:
    inks = _LIKE_PHOTOS.convert("CMYK")
    inks.info["icc_profile"] = b"of this press"
    kept = Image.open(io.BytesIO(find_photo(inks).read()))
    assert (kept.mode, kept.info["icc_profile"]) == ("CMYK", b"of this press")
    assert np.array_equal(np.asarray(kept), np.asarray(inks))
    del inks.info["icc_profile"]
    assert np.abs(seen(inks).astype(int) - np.asarray(inks.convert("RGB"))).mean() < 3


@pytest.mark.parametrize("mode", ["RGBa", "PA", "La"])
def test_transparent_parts_are_white(mode: str) -> None:
    black = Image.frombytes(mode, (64, 8), bytes(64 * 8 * len(Image.new(mode, (1, 1)).tobytes())))
    assert seen(black).min() == 255


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_of_unknown_white_are_refused(kind: type) -> None:
    with pytest.raises(ConfigError, match=r"found one of mode [IF], which does not tell"):
        find_photo(Image.fromarray(_RAMP.astype(kind)))
