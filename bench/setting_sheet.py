"""Draw the sheet of docs/howto/settings-in-pictures.md: one photo, with one setting changed in each row.

    python -m bench.setting_sheet --store build/overview/store --style van_gogh --photo FILE      about 2 CPU minutes

The store is one that `artbank train` has written, such as that of `bench.overview`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import artbank
from artbank.api.trained_bank import TrainedBank
from artbank.pretraining.grids import save_sheet
from bench.captioned import Captioned, lay_out

ROWS: tuple[tuple[str, tuple[dict[str, Any], ...]], ...] = (
    ("preset", tuple({"preset": name} for name in ("faithful", "balanced", "bold", "exact"))),
    ("strength", tuple({"strength": value} for value in (0.3, 0.5, 0.7, 0.9))),
    ("structure", tuple({"structure": value} for value in (0.0, 0.3, 0.6, 0.9))),
    ("guidance", tuple({"guidance": value} for value in (1.0, 4.0, 10.0, 20.0))),
    ("colour", ({"colour": "keep"}, {"colour": "free"}, {}, {"colour": "collection"})),
)
"""Each row's name and the settings of its pictures; all others have their defaults."""

_DEFAULT = "colour by default"
_LIMIT_BYTES = 600_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="store with a bank of the style")
    parser.add_argument("--style", required=True, help="name of the bank")
    parser.add_argument("--photo", type=Path, required=True, help="photo to redraw")
    parser.add_argument("--side", type=int, default=192, help="short side at which the model draws, px")
    parser.add_argument("--width", type=int, default=300, help="width of each picture of the sheet, px")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/settings.jpg"))
    options = parser.parse_args(arguments)
    bank = artbank.open_store(str(options.store))[options.style]
    photo = np.asarray(Image.open(options.photo).convert("RGB"))
    rows = [draw_row(bank, options.photo, photo, settings, options.side) for _, settings in ROWS]
    height_px = round(options.width * photo.shape[0] / photo.shape[1])
    save_sheet(lay_out(rows, options.width, height_px), options.out, _LIMIT_BYTES)


def draw_row(
    bank: TrainedBank, path: Path, photo: np.ndarray, settings: Sequence[dict[str, Any]], side_px: int
) -> list[Captioned]:
    """Return the photo and its picture by each of some settings, with captions."""
    pictures = [bank.stylize(path, resolution_px=side_px, **one) for one in settings]
    return [
        ("photo", photo),
        *((caption(one), np.asarray(picture.image)) for one, picture in zip(settings, pictures, strict=True)),
    ]


def caption(settings: dict[str, Any]) -> str:
    """Return what a picture's caption says of its settings."""
    return " ".join(f"{name} {value}" for name, value in settings.items()) or _DEFAULT


if __name__ == "__main__":
    main()
