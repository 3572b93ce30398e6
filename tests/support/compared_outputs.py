"""Outputs to compare, of plain pictures: the colour says whose a picture is, so that tests can unblind a page."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artbank.images.codec import Picture, decode, encode
from artbank.parameters.stylize_config import OutputFormat
from artbank.records.photo_records import Result
from artbank.results import ledger
from artbank.results.containers import PackedPicture, container_key, pack
from artbank.results.layout import CONFIG, run_key
from artbank.store.objects import Store
from tests.support.rows import result

COLORS = {"new": (200, 30, 30), "old": (30, 60, 200), "third": (30, 160, 60)}
PHOTO = (120, 120, 120)
PHOTOS = tuple(f"roll {i % 2}/photo {i}.jpg" for i in range(6))


def paint(color: Sequence[int], width_px: int = 64, height_px: int = 48, suffix: str = ".jpg") -> bytes:
    """Return a picture of one colour."""
    return encode(Picture(np.full((height_px, width_px, 3), color, np.uint8)), suffix, quality=90)


def with_metadata(data: bytes, text: str) -> bytes:
    """Return a JPEG with a text in its EXIF and in a comment, as other programs leave their names."""
    exif = Image.Exif()
    exif[0x0131] = text  # Software
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).save(file, "JPEG", exif=exif, comment=text.encode(), quality=95)
    return file.getvalue()


def color_of(data: bytes) -> str:
    """Return the name of a picture's colour; `photo` for that of photos."""
    middle = decode(data, max_pixels=10**7).rgb.mean(axis=(0, 1))
    known = {**COLORS, "photo": PHOTO}
    return min(known, key=lambda name: float(np.abs(middle - known[name]).sum()))


def add_photos(root: Path, keys: Sequence[str] = PHOTOS) -> Store:
    """Write photos; each has its own size, so that no two have the same bytes."""
    archive = Store.open(str(root / "photos"))
    archive.write_many({key: paint(PHOTO, 64 + i, 48) for i, key in enumerate(keys)})
    return archive


def add_output(
    root: Path,
    name: str,
    styles: Sequence[str] = ("monet", "hokusai"),
    keys: Sequence[str] = PHOTOS,
    *,
    color: str | None = None,
    form: OutputFormat = "images",
    size_px: tuple[int, int] = (64, 48),
    **values: Any,
) -> Store:
    """Write an output as a run does: pictures, then rows; `values` are columns of all rows."""
    output, archive = Store.open(str(root / name)), Store.open(str(root / "photos"))
    pictures = with_metadata(paint(COLORS[color or name], *size_px), f"drawn for {name}")
    number = len(ledger.part_names(output))
    rows = []
    for style in styles:
        container = container_key(style, f"r-{number:05d}", form) if form != "images" else None
        own = [_row(archive, key, style, pictures, container, values) for key in keys]
        if container:
            output.write(container, pack(container, [PackedPicture.from_row(row, row.key, pictures) for row in own]))
        else:
            output.write_many({row.file_name: pictures for row in own if row.file_name})
        rows += own
    ledger.commit(output, f"r-{number:05d}", rows)
    output.write(run_key("r", CONFIG), json.dumps({"archive_uri": archive.uri}).encode())
    return output


def _row(archive: Store, key: str, style: str, picture: bytes, container: str | None, values: dict[str, Any]) -> Result:
    row = result(
        key, style, minute=values.pop("minute", 0), recipe_id="recipe-1", file_name=container or f"{style}/{key}"
    )
    hashes = {"sha256": _sha256(archive.read(key)), "file_sha256": _sha256(picture)}
    return replace(row, **{**hashes, **values})


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
