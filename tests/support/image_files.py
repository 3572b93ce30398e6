"""Small image files in every supported format, drawn by code: seeds of the fuzz tests and parts of bombs."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pillow_heif
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

PNG_START = b"\x89PNG\r\n\x1a\n"
WIDTH_PX, HEIGHT_PX = 20, 12


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def draw(mode: str = "RGB", width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> Image.Image:
    """Return a picture whose colours all differ, in a Pillow mode."""
    values = np.arange(width_px * height_px * 3).reshape(height_px, width_px, 3) * 7 % 256
    image = Image.fromarray(values.astype(np.uint8))
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    if mode == "I;16":
        return Image.fromarray((values[..., 0] * 257).astype(np.uint16))
    return image.convert(mode)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width_px: int, height_px: int, *chunks: bytes, body: bytes | None = None) -> bytes:
    """Return a black PNG with additional chunks."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes((3 * width_px + 1) * height_px)) if body is None else body
    return PNG_START + b"".join((chunk(b"IHDR", header), *chunks, chunk(b"IDAT", data), chunk(b"IEND", b"")))


def mend_png(data: bytes) -> bytes:
    """Correct the checksums of a PNG, so that decoders read its chunks."""
    if not data.startswith(PNG_START):
        return data
    out, at = [PNG_START], len(PNG_START)
    while at + 8 <= len(data):
        [size] = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        whole = len(body) == size
        out.append(chunk(kind, body) if whole else data[at:])
        at = at + 12 + size if whole else len(data)
    return b"".join(out)


def tiff(*entries: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """Return a TIFF of tags (number, type, count, value); `data` follows the table."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + b"\0\0\0\0" + data


def gray_tiff(width_px: int, height_px: int, *entries: tuple[int, int, int, int], compression: int = 1) -> bytes:
    """Return a gray TIFF with additional tags and a kilobyte of zeros as pixels."""
    usual = [(256, 4, 1, width_px), (257, 4, 1, height_px), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    return tiff(*usual, (277, 3, 1, 1), *entries, data=bytes(1024))


def psd(
    width_px: int, height_px: int, *, channels: int = 3, resources: bytes = b"", compression: int = 0, bits: int = 8
) -> bytes:
    """Return a black Photoshop document without layers."""
    pixels = bytes(min(channels * width_px * height_px * bits // 8, 10_000))
    return _psd_start(width_px, height_px, channels, bits, 3, resources) + struct.pack(">H", compression) + pixels


def psd_of(
    values: np.ndarray, *, mode: int = 3, profile: bytes = b"", layers: bytes = b"", packed: bool = False
) -> bytes:
    """Return a Photoshop document of values [H, W, C]: uint8, uint16 or float32.

    Args:
        values: The channels of its picture.
        mode: Its colour mode: 1 gray, 3 RGB, 4 CMYK.
        profile: Its ICC profile.
        layers: The content of the section of layers and masks.
        packed: Whether the pixels are packed, as Photoshop does it.
    """
    planes = np.moveaxis(values, -1, 0).astype(values.dtype.newbyteorder(">"))
    block = b"8BIM\x04\x0f\0\0" + struct.pack(">I", len(profile)) + profile + bytes(len(profile) % 2)
    height, width, channels = values.shape
    start = _psd_start(width, height, channels, 8 * values.itemsize, mode, block if profile else b"", layers)
    if not packed:
        return start + b"\0\0" + planes.tobytes()
    lines = [_pack_bits(line.tobytes()) for plane in planes for line in plane]
    return start + b"\0\1" + struct.pack(f">{len(lines)}H", *map(len, lines)) + b"".join(lines)


def psd_layers(count: int, *blocks: tuple[bytes, bytes]) -> bytes:
    """Return a section of layers and masks: the number of layers, none of which are there, and blocks after them."""
    layers = struct.pack(">Ih", 2, count) if count else struct.pack(">I", 0)
    parts = [b"8BIM" + name + struct.pack(">I", len(body)) + body + bytes(-len(body) % 4) for name, body in blocks]
    return layers + struct.pack(">I", 0) + b"".join(parts)


def _pack_bits(line: bytes) -> bytes:
    parts = [line[start : start + 128] for start in range(0, len(line), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def _psd_start(
    width: int, height: int, channels: int, bits: int, mode: int, resources: bytes, layers: bytes = b""
) -> bytes:
    header = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", channels, height, width, bits, mode)
    return header + struct.pack(">II", 0, len(resources)) + resources + struct.pack(">I", len(layers)) + layers


def jpeg2000(image: Image.Image, *colours: bytes) -> bytes:
    """Return an image as a JPEG 2000 file, with the contents of boxes `colr` in place of its own."""
    data = save(image, "JPEG2000")
    at, own = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    [header_size] = struct.unpack_from(">I", data, at)
    [own_size] = struct.unpack_from(">I", data, own)
    boxes = b"".join(struct.pack(">I", 8 + len(body)) + b"colr" + body for body in colours)
    header = data[at + 4 : own] + boxes + data[own + own_size : at + header_size]
    return data[:at] + struct.pack(">I", 4 + len(header)) + header + data[at + header_size :]


def tiff_of(values: np.ndarray, photometric: str = "rgb", **options: Any) -> bytes:
    """Return a TIFF of values of any type, [H, W] or [H, W, C]."""
    file = io.BytesIO()
    tifffile.imwrite(file, values, photometric=photometric, metadata=None, **options)
    return file.getvalue()


def previewed_tiff(
    picture: np.ndarray, preview: np.ndarray, photometric: str = "rgb", *, make: str = "ACME", **options: Any
) -> bytes:
    """Return a TIFF whose first page is a preview of the picture, which is in its SubIFD, as in camera raw files.

    Args:
        picture: What the SubIFD holds; with `photometric` `cfa` the values of a sensor, uint16 [H, W].
        preview: What the first page holds, uint8 [h, w, 3].
        photometric: What the values of the picture are.
        make: The camera's maker.
        options: Of the page of the picture.
    """
    mosaic = [(33421, "H", 2, (2, 2), True), (33422, "B", 4, b"\0\1\1\2", True)] if photometric == "cfa" else []
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        common: dict[str, Any] = {"metadata": None, "software": False}
        named = [(271, "s", 0, make, True), (272, "s", 0, "Cam 1", True)]
        writer.write(preview, photometric="rgb", subifds=1, subfiletype=1, extratags=named, **common)
        writer.write(picture, photometric=photometric, subfiletype=0, extratags=mosaic, **common, **options)
    return file.getvalue()


def raw(width_px: int = 64, height_px: int = 48) -> bytes:
    """Return a camera raw file: what a sensor saw of a ramp, and a gray preview."""
    ramp = np.linspace(200, 16_000, width_px * height_px).reshape(height_px, width_px).astype(np.uint16)
    return previewed_tiff(ramp, np.full((height_px // 2, width_px // 2, 3), 90, np.uint8), "cfa")


def heif(image: Image.Image, **options: Any) -> bytes:
    """Return an image as HEIC."""
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, **options)
    return file.getvalue()


def deep_heif(codes: np.ndarray, **options: Any) -> bytes:
    """Return values uint16 [H, W, 3] as HEIC of 10 bits."""
    height, width, _ = codes.shape
    file = io.BytesIO()
    lossless = {"quality": -1, "chroma": 444, "matrix_coefficients": 0, "full_range_flag": 1}
    pillow_heif.from_bytes("RGB;16", (width, height), codes.tobytes()).save(file, **lossless, **options)
    return file.getvalue()


def with_nclx(avif: bytes, primaries: int, transfer: int) -> bytes:
    """Return an AVIF file with other code points of its colours."""
    at = avif.index(b"colrnclx") + 8
    return avif[:at] + struct.pack(">HH", primaries, transfer) + avif[at + 4 :]


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    """Return a PNG with additional chunks before its pixels."""
    at = data.index(b"IDAT") - 4
    return data[:at] + b"".join(chunks) + data[at:]


def bmp(width_px: int, height_px: int, *, bits: int = 24, compression: int = 0, data: bytes = b"") -> bytes:
    """Return a BMP whose pixels are `data`."""
    header = struct.pack("<IiiHHIIiiII", 40, width_px, height_px, 1, bits, compression, 0, 0, 0, 0, 0)
    palette = bytes(4 << bits) if bits <= 8 else b""
    return b"BM" + struct.pack("<IHHI", 54 + len(palette + data), 0, 0, 54 + len(palette)) + header + palette + data


def tga(width_px: int, height_px: int, *, kind: int = 2, data: bytes = b"") -> bytes:
    """Return a TGA whose pixels are `data`."""
    return bytes([0, 0, kind]) + bytes(9) + struct.pack("<HHBB", width_px, height_px, 24, 0) + data


def exif() -> Image.Exif:
    """Return EXIF as a camera writes it, with the tags that artbank reads."""
    found = Image.Exif()
    found[0x010F], found[0x0110], found[0x0112] = "Maker", "Model 1", 6
    found.get_ifd(0x8769)[0x829A] = 0.01
    return found


def seeds() -> dict[str, bytes]:
    """Return files in every supported format, by format and kind."""
    rgb, profile = draw(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames: dict[str, Any] = {"save_all": True, "append_images": [rgb.transpose(Image.Transpose.ROTATE_180)]}
    deep = np.asarray(rgb).astype(np.uint16) * 257
    channels = np.concatenate([deep, deep], -1)
    p3 = struct.pack(">8I", 31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000)
    text = PngImagePlugin.PngInfo()
    text.add_text("title", "a title", zip=True)
    text.add_itxt("author", "an author", zip=True)
    files = {
        "JPEG": save(rgb, "JPEG", exif=exif(), icc_profile=profile),
        "JPEG progressive": save(rgb, "JPEG", progressive=True),
        "JPEG gray": save(draw("L"), "JPEG"),
        "JPEG CMYK": save(draw("CMYK"), "JPEG"),
        "JPEG MPO": save(rgb, "MPO", **frames),
        "PNG": save(draw("RGBA"), "PNG", exif=exif(), icc_profile=profile, pnginfo=text),
        "PNG palette": save(draw("P"), "PNG", transparency=3),
        "PNG deep": save(draw("I;16"), "PNG"),
        "PNG bits": save(draw("1"), "PNG", bits=1),
        "PNG animated": save(rgb, "PNG", **frames),
        "WEBP": save(draw("RGBA"), "WEBP", exif=exif(), icc_profile=profile),
        "WEBP lossless": save(rgb, "WEBP", lossless=True),
        "WEBP animated": save(rgb, "WEBP", **frames),
        "AVIF": save(draw("RGBA"), "AVIF", exif=exif()),
        "AVIF animated": save(rgb, "AVIF", **frames),
        "TIFF": save(rgb, "TIFF", exif=exif(), icc_profile=profile),
        "TIFF big": save(rgb, "TIFF", big_tiff=True),
        "TIFF deep": save(draw("I;16"), "TIFF"),
        "TIFF floats": save(draw("F"), "TIFF"),
        "TIFF Lab": save(draw("LAB"), "TIFF"),
        "TIFF group4": save(draw("1"), "TIFF", compression="group4"),
        "TIFF float RGB": tiff_of(np.asarray(rgb) / np.float32(255)),
        "TIFF deep gray with alpha": tiff_of(deep[..., :2], "minisblack", extrasamples=["unassalpha"]),
        "TIFF preview": previewed_tiff(np.asarray(rgb), np.asarray(rgb)[::2, ::2]),
        "RAW": raw(),
        "HEIF": heif(draw("RGBA"), exif=exif().tobytes(), icc_profile=profile),
        "HEIF high dynamic range": deep_heif(deep, color_primaries=9, transfer_characteristics=16),
        "AVIF high dynamic range": with_nclx(save(rgb, "AVIF"), 9, 18),
        "PNG high dynamic range": with_chunks(save(rgb, "PNG"), chunk(b"cICP", b"\x09\x10\0\1")),
        "PNG chromaticities": with_chunks(
            save(rgb, "PNG"), chunk(b"gAMA", struct.pack(">I", 55_556)), chunk(b"cHRM", p3)
        ),
        "GIF": save(draw("P"), "GIF", transparency=3, comment=b"a comment"),
        "GIF animated": save(rgb, "GIF", **frames),
        "BMP": save(rgb, "BMP"),
        "BMP palette": save(draw("P"), "BMP"),
        "BMP runs": bmp(16, 16, bits=8, compression=1, data=b"\x10\x01\0\0" * 16 + b"\0\1"),
        "DIB": save(rgb, "DIB"),
        "JPEG2000": save(draw("RGBA"), "JPEG2000"),
        "JPEG2000 profile": jpeg2000(rgb, b"\2\0\0" + profile),
        "JPEG2000 codestream": save(rgb, "JPEG2000", no_jp2=True, tile_size=(16, 16), num_resolutions=2),
        "PPM": save(rgb, "PPM"),
        "PPM gray": save(draw("L"), "PPM"),
        "PPM plain": b"P3 16 16 255\n" + b"12 0 255 " * 256,
        "PSD": psd(16, 16),
        "PSD deep": psd_of(deep),
        "PSD channels": psd_of(channels, layers=psd_layers(-2, (b"Mt16", b"")), packed=True),
        "PSD floats": psd_of(deep / np.float32(65_535), profile=profile),
        "TGA": save(rgb, "TGA"),
        "TGA runs": save(draw("P"), "TGA", rle=True),
    }
    packed = ("packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg")
    return files | {f"TIFF {name}": save(rgb, "TIFF", compression=name) for name in packed}
