"""File name suffixes of images: those that artbank writes, and those that it reads."""

from __future__ import annotations

WRITTEN_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
"""Suffixes of camera raw files, which are read with the extra `raw`."""
READ_SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".pnm"),
    *(".ppm", ".psd", ".tga", ".tif", ".tiff", ".heic", ".heif", ".hif"),
    *RAW_SUFFIXES,
    *(".jxl", ".psb"),  # cannot be read; listed here so that the user gets an error about the file
)
IMAGE_SUFFIXES = frozenset(WRITTEN_SUFFIXES + READ_SUFFIXES)
