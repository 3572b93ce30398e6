"""File name suffixes of images: those that artbank writes, and those that it reads."""

from __future__ import annotations

WRITTEN_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
READ_SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".pnm"),
    *(".ppm", ".psd", ".tga", ".tif", ".tiff"),
    *(".heic", ".heif"),  # most of them cannot be read; listed here so that the user gets an error about the file
)
IMAGE_SUFFIXES = frozenset(WRITTEN_SUFFIXES + READ_SUFFIXES)
