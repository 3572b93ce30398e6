"""Small galleries and archives, drawn by code, and the smallest recipes that use every part of both jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from artbank.config import StylizeConfig, TrainConfig
from artbank.images.codec import Picture, encode
from artbank.mini.drawing.painters import paint
from artbank.mini.drawing.scenes import draw_scene
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.records.bank_records import BankRecord
from artbank.scoring import style_reference
from artbank.scoring.spread import Ceiling
from artbank.store.objects import Store

TRAIN = BankRecipe(max_steps=3, batch_size=1, num_crops=1, resolution_px=32, num_tokens=2, validate_every=2)
STYLIZE = StylizeRecipe(steps=4, strength=0.5, resolution_px=32, guidance=1.0)
WIDTH_PX, HEIGHT_PX = 96, 64


def draw_artwork(seed: int, painter: str = "Novak") -> bytes:
    """Return a painting as PNG."""
    scene = draw_scene(seed, width_px=WIDTH_PX, height_px=HEIGHT_PX)
    return encode(Picture(paint(scene.image, painter, seed), None), ".png", quality=92)


def draw_photo(seed: int, suffix: str = ".jpg") -> bytes:
    """Return a photo in the format of a suffix."""
    scene = draw_scene(seed, width_px=WIDTH_PX, height_px=HEIGHT_PX)
    return encode(Picture(scene.image, None), suffix, quality=92)


def add_collection(gallery: Store, name: str, painter: str = "Novak", count: int = 4) -> None:
    """Paint a collection of a gallery."""
    gallery.write_many({f"{name}/{i}.png": draw_artwork(i, painter) for i in range(count)})


@contextmanager
def ceilings_without_error() -> Iterator[None]:
    """Let trainings of this process measure ceilings as older versions did, whose references have no standard error."""
    measure = style_reference._measure_ceiling

    def without_error(*args: Any) -> Ceiling | None:
        found = measure(*args)
        return found and Ceiling(found.mean)

    with patch.object(style_reference, "_measure_ceiling", without_error):
        yield


def training(gallery_uri: str, store_uri: str, **values: object) -> TrainConfig:
    """Return a config of `train_banks` that takes two seconds a collection."""
    facts = {"gallery_uri": gallery_uri, "store_uri": store_uri, "recipe": TRAIN, "num_samples": 1, "num_milestones": 0}
    return TrainConfig.model_validate(facts | values)


def train_all(config: TrainConfig) -> list[BankRecord]:
    """Train a bank for every collection that needs one, without Prefect; returns their rows."""
    from artbank.gallery.plan import plan_training
    from artbank.gallery.train import train_collections

    ends = train_collections(config, plan_training(config).jobs).values()
    for end in ends:
        if isinstance(end, Exception):
            raise end
    return [end for end in ends if not isinstance(end, Exception)]


def stylizing(archive_uri: str, output_uri: str, store_uri: str, *styles: str, **values: object) -> StylizeConfig:
    """Return a config of `stylize_archive` that takes some milliseconds a photo."""
    facts = {"archive_uri": archive_uri, "output_uri": output_uri, "store_uri": store_uri, "styles": styles}
    return StylizeConfig.model_validate({**facts, "recipe": STYLIZE, **values})


def listing(folder: Path | str) -> dict[str, tuple[int, int]]:
    """Return size and modification time of every file below a folder, hidden ones too."""
    files = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
