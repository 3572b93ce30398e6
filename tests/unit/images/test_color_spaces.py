"""Colours that a file names without an ICC profile come out as in sRGB, within 2 of 255 on average."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from artbank.images.codec import decode
from artbank.images.codec_jobs import DecodeOptions, decode_photo
from artbank.images.color_spaces import _PRIMARIES
from artbank.images.icc_profiles import ADOBE_RGB, SRGB, Primaries, gray_profile, rgb_profile, with_srgb_curve
from artbank.images.tone_mapping import encode_srgb
from tests.support.image_files import chunk, deep_heif, heif, save, tiff_of, with_chunks, with_nclx
from tests.support.known_colours import LIMIT, check, in_space, light, light_in, truth

P3, BT2020 = _PRIMARIES[12], _PRIMARIES[9]
M1, M2, C1, C2, C3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875  # SMPTE ST 2084


def pq(nits: np.ndarray) -> np.ndarray:
    power = (nits / 10_000) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


def hlg(nits: np.ndarray) -> np.ndarray:
    luminance = np.maximum(nits @ [0.2627, 0.6780, 0.0593], 1e-9)[..., None] / 1000
    scene = nits / 1000 * luminance ** (1 / 1.2 - 1)
    above = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), above)


def to_16_bit(values: np.ndarray) -> np.ndarray:
    return np.round(values * 65_535).astype(np.uint16)


def deep_png(codes: np.ndarray, *chunks: bytes) -> bytes:
    return with_chunks(cv2.imencode(".png", codes[..., ::-1])[1].tobytes(), *chunks)


def cicp(primaries: int, transfer: int, full: int = 1) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, full]))


def as_png(pixels: np.ndarray, *chunks: bytes) -> bytes:
    return with_chunks(save(Image.fromarray(pixels), "PNG"), *chunks)


def gama(gamma: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 / gamma)))


def chrm(primaries: Primaries) -> bytes:
    points = (primaries.white, primaries.red, primaries.green, primaries.blue)
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * value) for point in points for value in point)))


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2, 2.6])
def test_a_png_that_names_its_gamma_is_shown_by_it(gamma: float) -> None:
    check(as_png(in_space(SRGB, gamma), gama(gamma)))


def test_a_gray_png_that_names_its_gamma_is_shown_by_it() -> None:
    gray = np.round(light()[..., 0] ** (1 / 1.8) * 255).astype(np.uint8)
    found = decode(as_png(gray, gama(1.8)), max_pixels=LIMIT).rgb
    assert np.abs(found[..., 0].astype(int) - truth()[..., 0]).max() <= 2


@pytest.mark.parametrize("primaries", [P3, ADOBE_RGB, BT2020], ids=["P3", "Adobe RGB", "BT.2020"])
def test_a_png_that_names_its_primaries_is_shown_by_them(primaries: Primaries) -> None:
    check(as_png(in_space(primaries, None), gama(1 / 0.45455), chrm(primaries)))


def test_the_chunk_srgb_takes_precedence_over_gamma() -> None:
    check(as_png(truth(), chunk(b"sRGB", b"\0"), gama(1.0)), most=0)


def test_code_points_take_precedence_over_all_other_chunks() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = save(Image.fromarray(in_space(P3, None)), "PNG", icc_profile=profile)
    check(with_chunks(data, cicp(12, 13), gama(1.0)))


@pytest.mark.parametrize("chunks", [[gama(1e-4)], [chunk(b"cHRM", bytes(32))], [chunk(b"cICP", b"\xff\xff\0\1")]])
def test_colours_that_make_no_sense_are_passed_over(chunks: list[bytes]) -> None:
    check(as_png(truth(), *chunks), most=0)


def test_a_range_as_in_video_is_widened() -> None:
    check(as_png(np.round(16 + truth() / 255 * 219).astype(np.uint8), cicp(1, 13, full=0)))


@pytest.mark.parametrize(("primaries", "number"), [(P3, 12), (BT2020, 9), (SRGB, 1)])
def test_avif_and_heic_are_shown_by_their_code_points(primaries: Primaries, number: int) -> None:
    image = Image.fromarray(in_space(primaries, None))
    avif = save(image, "AVIF", quality=95, subsampling="4:4:4")
    check(with_nclx(avif, number, 13))
    options = {"quality": 95, "chroma": 444, "color_primaries": number, "transfer_characteristics": 13}
    check(heif(image, matrix_coefficients=1, full_range_flag=1, **options))


def test_a_profile_takes_precedence_over_the_code_points_of_avif() -> None:
    image = Image.fromarray(in_space(P3, None))
    avif = save(image, "AVIF", quality=95, subsampling="4:4:4", icc_profile=rgb_profile(P3, None))
    check(avif)


def adobe_exif(space: int | None, index: str = "") -> Image.Exif:
    """Return Exif with a colour space and an interoperability index."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    own = exif.get_ifd(0x8769)
    if space is not None:
        own[0xA001] = space
    if index:
        own[0xA005] = {1: index}
    return exif


@pytest.mark.parametrize(("space", "index"), [(65_535, "R03"), (2, ""), (65_535, ""), (None, "R03")])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_adobe_rgb_by_exif_is_shown_as_such(kind: str, space: int | None, index: str) -> None:
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    image = Image.fromarray(in_space(ADOBE_RGB, 563 / 256))
    picture = check(save(image, kind, exif=adobe_exif(space, index).tobytes(), **options))
    assert ("taken for Adobe RGB" in picture.note) == (space == 65_535 and index == "")


@pytest.mark.parametrize(("space", "index"), [(2, ""), (65_535, "R03"), (65_535, "")])
def test_a_tiff_in_adobe_rgb_is_shown_as_such(space: int, index: str) -> None:
    pixels = in_space(ADOBE_RGB, 563 / 256)
    tags = adobe_exif(space, index)  # Exif is a TIFF: with these tags and pixels it has a picture
    tags.update({256: 64, 257: 48, 258: (8, 8, 8), 259: 1, 262: 2, 273: 0, 277: 3, 278: 48, 279: pixels.size})
    picture = check(tags.tobytes()[len(b"Exif\0\0") :] + pixels.tobytes())
    assert ("taken for Adobe RGB" in picture.note) == (space == 65_535 and index == "")


@pytest.mark.parametrize(("space", "index"), [(1, "R98"), (65_535, "R98"), (1, ""), (None, "")])
def test_srgb_by_exif_stays_as_it_is(space: int | None, index: str) -> None:
    picture = check(save(Image.fromarray(truth()), "PNG", exif=adobe_exif(space, index)), most=0)
    assert picture.note == ""


def test_an_editors_file_without_a_profile_is_srgb_whatever_it_says() -> None:
    exif = adobe_exif(65_535)
    del exif[0x010F]
    exif[0x0131] = "an editor"
    assert check(save(Image.fromarray(truth()), "PNG", exif=exif), most=0).note == ""


def test_a_profile_takes_precedence_over_exif() -> None:
    options = {"icc_profile": rgb_profile(P3, None), "exif": adobe_exif(65_535)}
    assert check(save(Image.fromarray(in_space(P3, None)), "PNG", **options)).note == ""


def test_a_large_jpeg_in_adobe_rgb_is_converted_at_the_size_that_is_decoded() -> None:
    large = Image.fromarray(in_space(ADOBE_RGB, 563 / 256)).resize((2560, 1920), Image.Resampling.BICUBIC)
    data = save(large, "JPEG", quality=95, exif=adobe_exif(65_535, "R03"))
    found = decode_photo("a.jpg", data, DecodeOptions(10**7, "white", "working", 48, 1, 60)).photo.working
    assert np.abs(found.astype(int) - truth()).mean() <= 2


def test_a_tiff_is_shown_by_its_primaries() -> None:
    points = [value for point in (P3.red, P3.green, P3.blue) for value in point]
    tags = [
        (318, "2I", 2, (3127, 10_000, 3290, 10_000), True),
        (319, "2I", 6, tuple(n for value in points for n in (round(value * 10_000), 10_000)), True),
    ]
    check(tiff_of(in_space(P3, None), extratags=tags))


@pytest.mark.parametrize(("curve", "transfer", "most"), [(pq, 16, 0.6), (hlg, 18, 0.6)], ids=["PQ", "HLG"])
def test_what_is_no_brighter_than_white_is_the_same_in_high_dynamic_range(
    curve: Callable[[np.ndarray], np.ndarray], transfer: int, most: float
) -> None:
    codes = to_16_bit(curve(light_in(BT2020) * 203))
    avif = cv2.imencode(".avif", codes[..., ::-1] >> 6, [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100])[1]
    files = (
        deep_png(codes, cicp(9, transfer)),
        deep_heif(codes, color_primaries=9, transfer_characteristics=transfer),
        with_nclx(avif.tobytes(), 9, transfer),
    )
    for data in files:
        assert (
            check(data, most=most).note
            == f"mapped from high dynamic range ({'PQ' if transfer == 16 else 'HLG'}) to sRGB"
        )
    check(as_png((codes >> 8).astype(np.uint8), cicp(9, transfer)))


def test_light_brighter_than_white_is_bent_below_it_and_darker_light_keeps_its_order() -> None:
    nits = np.linspace(0, 1000, 64 * 64).reshape(64, 64, 1).repeat(3, 2)
    found = decode(deep_png(to_16_bit(pq(nits)), cicp(9, 16)), max_pixels=LIMIT).rgb[..., 0].ravel().astype(int)
    assert (np.diff(found) >= 0).all() and found[0] == 0 and found[-1] == 255
    assert len(np.unique(found[nits[..., 0].ravel() > 203])) > 20  # highlights are not one white
    dark = nits[..., 0].ravel() < 60
    assert np.abs(found[dark] - encode_srgb(nits[..., 0].ravel()[dark] / 203) * 255).max() <= 2


def test_a_profile_that_names_code_points_of_high_dynamic_range_is_tone_mapped() -> None:
    profile = bytearray(rgb_profile(BT2020, 2.4))
    profile[128:132] = struct.pack(">I", struct.unpack_from(">I", profile, 128)[0] - 1)  # the last tag makes room
    count = struct.unpack_from(">I", profile, 128)[0]
    struct.pack_into(">I", profile, 128, count + 1)
    struct.pack_into(">4sII", profile, 132 + 12 * count, b"cicp", len(profile), 12)
    data = bytes(profile) + b"cicp\0\0\0\0" + bytes([9, 16, 0, 1])
    png = io.BytesIO()
    Image.fromarray((to_16_bit(pq(light_in(BT2020) * 203)) >> 8).astype(np.uint8)).save(png, "PNG", icc_profile=data)
    assert "PQ" in check(png.getvalue()).note


def test_the_alpha_and_the_turn_of_a_picture_of_high_dynamic_range_stay() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = np.dstack([(to_16_bit(pq(light_in(BT2020) * 203)) >> 8).astype(np.uint8), np.full((48, 64), 128, np.uint8)])
    data = with_chunks(save(Image.fromarray(rgba), "PNG", exif=exif), cicp(9, 16))
    picture = decode(data, max_pixels=LIMIT, alpha="keep")
    assert picture.alpha is not None and (picture.alpha == 128).all()
    assert np.abs(picture.rgb.astype(int) - np.rot90(truth(), -1)).mean() <= 2


def test_profiles_are_those_that_littlecms_makes() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).profile
    made = ImageCms.ImageCmsProfile(io.BytesIO(rgb_profile(SRGB, None))).profile
    for name in ("red_colorant", "green_colorant", "blue_colorant"):
        assert np.allclose(getattr(made, name)[0], getattr(own, name)[0], atol=0.001)
    kept = ImageCms.ImageCmsProfile(io.BytesIO(with_srgb_curve(rgb_profile(P3, 1.0)))).profile
    wanted = ImageCms.ImageCmsProfile(io.BytesIO(rgb_profile(P3, None))).profile
    assert np.allclose(kept.green_colorant[0], wanted.green_colorant[0], atol=0.001)
    assert with_srgb_curve(gray_profile(1.0)) == gray_profile(None)
