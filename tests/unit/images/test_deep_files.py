"""Intact files of more than 8 bits are read, or refused as of a depth that cannot be; never called damaged."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from artbank.errors import ImageError
from artbank.images.codec import decode
from artbank.images.icc_profiles import SRGB, gray_profile, rgb_profile
from tests.support.image_files import PNG_START, chunk, psd_layers, psd_of, save, tiff_of

LIMIT = 10**6
VALUES = np.dstack([np.tile(np.linspace(0, 1, 40), (24, 1))] * 3) * np.array([1.0, 0.6, 0.3])
"""The truth, 0..1, float64 [24, 40, 3]."""
HALF_ALPHA = np.full((24, 40, 1), 0.5)


def as_integers(values: np.ndarray, dtype: str) -> np.ndarray:
    return np.round(values * np.iinfo(dtype).max).astype(dtype)


def linear(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def check(data: bytes, expected: np.ndarray = VALUES, *, has_alpha: bool = False) -> None:
    picture = decode(data, max_pixels=LIMIT, alpha="keep")
    assert picture.rgb.shape == (24, 40, 3)
    assert np.abs(picture.rgb - expected * 255).max() <= 1.5
    assert (picture.alpha is not None) == has_alpha
    assert picture.alpha is None or np.abs(picture.alpha.astype(int) - 128).max() <= 1


def refusal_of(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, max_pixels=LIMIT)
    return caught.value


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiffs_of_floats_are_read(dtype: str, compression: str | None) -> None:
    options: dict[str, Any] = {"byteorder": ">"} if dtype[0] == ">" else {}
    check(tiff_of(VALUES.astype(dtype), compression=compression, **options))


def test_tiffs_of_floats_in_planes_with_alpha_or_gray_are_read() -> None:
    floats = VALUES.astype(np.float32)
    check(tiff_of(np.moveaxis(floats, -1, 0), planarconfig="separate"))
    with_alpha = np.concatenate([VALUES, HALF_ALPHA], -1).astype(np.float32)
    check(tiff_of(with_alpha, extrasamples=["unassalpha"]), has_alpha=True)
    check(tiff_of(floats[..., 0].astype("f8"), "minisblack"), VALUES[..., :1].repeat(3, 2))
    check(tiff_of(1 - floats[..., 0].astype("f2"), "miniswhite"), VALUES[..., :1].repeat(3, 2))


@pytest.mark.parametrize("compression", [5, 8])
def test_a_tiff_of_floats_that_only_opencv_can_unpack_is_read(compression: int) -> None:
    bgr = VALUES.astype(np.float32)[..., ::-1]
    check(cv2.imencode(".tif", bgr, [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1].tobytes())


def test_highlights_of_floats_are_clipped_and_do_not_darken_the_picture() -> None:
    check(tiff_of((VALUES * 1.3).astype(np.float32)), np.minimum(VALUES * 1.3, 1))
    check(tiff_of((VALUES[..., 0] * 1.3).astype(np.float32), "minisblack"), np.minimum(VALUES[..., :1] * 1.3, 1))
    check(tiff_of((VALUES * 255).astype(np.float32)))


def test_floats_that_are_proportional_to_light_are_not_cut_to_8_bits_before_they_are_bent() -> None:
    check(tiff_of(linear(VALUES).astype(np.float32), iccprofile=rgb_profile(SRGB, 1.0)))


@pytest.mark.parametrize("dtype", ["u2", "u4"])
def test_gray_with_alpha_and_integers_of_32_bits_are_read(dtype: str) -> None:
    gray = as_integers(np.concatenate([VALUES[..., :1], HALF_ALPHA], -1), dtype)
    check(tiff_of(gray, "minisblack", extrasamples=["unassalpha"]), VALUES[..., :1], has_alpha=True)
    check(tiff_of(as_integers(VALUES, dtype)))
    check(tiff_of(as_integers(VALUES[..., 0], dtype), "minisblack"), VALUES[..., :1])


def test_a_deep_gray_png_with_alpha_is_read() -> None:
    pixels = as_integers(np.concatenate([VALUES[..., :1], HALF_ALPHA], -1), "u2").astype(">u2")
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 24, 16, 4, 0, 0, 0))
    check(PNG_START + header + chunk(b"IDAT", body) + chunk(b"IEND", b""), VALUES[..., :1], has_alpha=True)


def test_photoshop_documents_of_16_bits_are_read() -> None:
    rgba = np.concatenate([VALUES, HALF_ALPHA], -1)
    check(psd_of(as_integers(VALUES, "u2")))
    check(psd_of(as_integers(rgba, "u2"), layers=psd_layers(0, (b"Mt16", b""))), has_alpha=True)
    check(psd_of(as_integers(VALUES[..., :1], "u2"), mode=1), VALUES[..., :1])
    check(psd_of(as_integers(np.concatenate([VALUES, np.ones_like(HALF_ALPHA)], -1), "u2"), mode=4))  # CMYK, inverted


def test_photoshop_documents_of_32_bits_hold_linear_light() -> None:
    light = linear(VALUES).astype(np.float32)
    check(psd_of(light))
    check(psd_of(light, profile=rgb_profile(SRGB, 1.0)))
    check(psd_of(light[..., :1], mode=1, profile=gray_profile(1.0)), VALUES[..., :1])
    with_alpha = np.concatenate([light, HALF_ALPHA.astype(np.float32)], -1)
    check(psd_of(with_alpha, layers=psd_layers(0, (b"Lr32", b"\xff\xff"))), has_alpha=True)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("num_selections", [0, 1, 2])
def test_selections_saved_in_a_photoshop_document_change_nothing(dtype: str, packed: bool, num_selections: int) -> None:
    selections = np.random.default_rng(0).uniform(size=(24, 40, num_selections))
    name = b"Mt16" if dtype == "u2" else b"Mtrn"
    gray, opaque = VALUES[..., :1], np.ones_like(HALF_ALPHA)

    def document(*parts: np.ndarray, mode: int = 3, layers: bytes = b"") -> bytes:
        channels = as_integers(np.concatenate([*parts, selections], -1), dtype)
        return psd_of(channels, mode=mode, layers=layers, packed=packed)

    check(document(VALUES))
    check(document(VALUES, layers=psd_layers(3, (b"Patt", b"12345"))))
    check(document(gray, mode=1), gray)
    check(document(VALUES, opaque, mode=4))  # CMYK, inverted
    check(document(VALUES, HALF_ALPHA, layers=psd_layers(-3)), has_alpha=True)
    check(document(VALUES, HALF_ALPHA, layers=psd_layers(3, (b"Patt", b"12345"), (name, b""))), has_alpha=True)


@pytest.mark.parametrize("dtype", ["u2", "u4", "f4"])
def test_channels_of_a_tiff_that_are_no_transparency_change_nothing(dtype: str) -> None:
    mask = np.random.default_rng(0).uniform(size=(24, 40, 1))

    def values(colours: np.ndarray) -> np.ndarray:
        found = np.concatenate([colours, mask], -1)
        return found.astype(dtype) if dtype == "f4" else as_integers(found, dtype)

    check(tiff_of(values(VALUES), extrasamples=["unspecified"]))
    gray = VALUES[..., :1]
    check(tiff_of(values(gray), "minisblack", planarconfig="contig", extrasamples=["unspecified"]), gray)


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib"}, {"byteorder": ">"}])
def test_tiffs_with_a_plane_for_each_channel_are_read(options: dict[str, Any]) -> None:
    def planes(dtype: str, *parts: np.ndarray) -> np.ndarray:
        return np.moveaxis(as_integers(np.concatenate(parts, -1), dtype), -1, 0)

    gray, opaque = VALUES[..., :1], np.ones_like(HALF_ALPHA)
    for dtype in ("u1", "u2", "u4"):
        check(tiff_of(planes(dtype, VALUES), planarconfig="separate", **options))
        with_alpha: dict[str, Any] = {"planarconfig": "separate", "extrasamples": ["unassalpha"], **options}
        check(tiff_of(planes(dtype, VALUES, HALF_ALPHA), **with_alpha), has_alpha=True)
        check(tiff_of(planes(dtype, gray, HALF_ALPHA), "minisblack", **with_alpha), gray, has_alpha=True)
    inks = tiff_of(planes("u2", 1 - VALUES, 1 - opaque), "separated", planarconfig="separate", **options)
    check(inks)


def test_a_deep_file_is_turned_upright_and_shown_by_its_profile() -> None:
    tags = [(274, "H", 1, 6, True)]
    floats = tiff_of(VALUES.astype(np.float32), extratags=tags, iccprofile=rgb_profile(SRGB, 1.8))
    picture = decode(floats, max_pixels=LIMIT)
    assert picture.rgb.shape == (40, 24, 3)
    plain = Image.fromarray(np.round(VALUES * 255).astype(np.uint8))
    known = decode(save(plain, "PNG", icc_profile=rgb_profile(SRGB, 1.8)), max_pixels=LIMIT).rgb
    assert np.abs(picture.rgb.astype(int) - np.rot90(known, -1)).max() <= 2


def _jpeg_of_12_bits() -> bytes:
    data = save(Image.new("RGB", (16, 16)), "JPEG")
    at = data.index(b"\xff\xc0")
    return data[:at] + b"\xff\xc1" + data[at + 2 : at + 4] + b"\x0c" + data[at + 5 :]


def _compressed_psd() -> bytes:
    data = psd_of(as_integers(VALUES, "u2"))
    at = 26 + 12
    return data[:at] + b"\0\2" + data[at + 2 :]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_jpeg_of_12_bits(), "depth of 12 bits"),
        (
            tiff_of(np.zeros((24, 40, 5), np.uint8), "separated", extrasamples=["unassalpha"]),
            "8-bit integers, 5 in all",
        ),
        (tiff_of(np.zeros((24, 40), np.complex64), "minisblack"), "64-bit complex"),
        (tiff_of(np.full((24, 40, 3), -5, np.int32)), "32-bit"),
        (_compressed_psd(), "compressed in a way"),
    ],
    ids=["JPEG of 12 bits", "five channels", "complex", "negative colours", "packed PSD"],
)
def test_a_depth_that_cannot_be_read_is_named_and_not_called_damaged(data: bytes, words: str) -> None:
    refusal = refusal_of(data)
    assert refusal.failure == "unsupported" and words in refusal.reason and "damaged" not in refusal.reason


@pytest.mark.parametrize("data", [tiff_of(VALUES.astype(np.float32)), psd_of(as_integers(VALUES, "u2"))])
def test_half_a_deep_file_is_called_truncated(data: bytes) -> None:
    refusal = refusal_of(data[: len(data) // 2])
    assert refusal.failure == "unreadable" and "truncated" in refusal.reason
