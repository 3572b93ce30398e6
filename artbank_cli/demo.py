"""The demonstration: three painters that the embedded model never saw, a dozen photographs, both flows."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from artbank.config import StylizeConfig, TrainConfig
from artbank.images.codec import Picture, encode
from artbank.mini.drawing.painters import HELD_OUT, paint
from artbank.mini.drawing.scenes import SUBJECTS, draw_scene
from artbank.recipes import StylizeRecipe
from artbank.runs.outcome import Outcome
from artbank.store.objects import Store
from artbank_cli.output import say
from artbank_cli.runs import run_stylizing, run_training

NUM_ARTWORKS = 16
PAINTERS = HELD_OUT[:3]
SIDE_PX = 192  # above the model's native 128 px, where strokes show
_ARTWORK_SEED, _PHOTO_SEED = 20_000_000, 30_000_000  # neither is in the corpus of the embedded model
_SHAPES = ((288, 192), (192, 256), (256, 256))


def run_demo(folder: Path) -> str:
    """Lay out a gallery and photos, train banks, stylize the photos; returns what came of it, in a few lines."""
    start = time.monotonic()
    root = Store.open(str(folder))
    _say("3 to 5 minutes on 2 CPU cores: 3 banks together, then 36 pictures")
    lay_out(root)
    _say(f"gallery and photos are in {root.uri}")
    run_training(TrainConfig(gallery_uri=root.uri_of("gallery"), store_uri=root.uri_of("store")), is_local=False)
    outcome = run_stylizing(
        StylizeConfig(
            archive_uri=root.uri_of("photos"),
            output_uri=root.uri_of("output"),
            store_uri=root.uri_of("store"),
            styles=PAINTERS,
            recipe=StylizeRecipe(resolution_px=SIDE_PX),
        ),
        is_local=False,
    )
    assert isinstance(outcome, Outcome)
    outcome.check_made(root.uri_of("output"))
    lines = [f"{outcome.num_done} pictures in {time.monotonic() - start:.0f} s"]
    return "\n".join([*lines, *(f"{what}: {where}" for what, where in outcome.places.items())])


def lay_out(root: Store) -> None:
    """Draw a gallery of `PAINTERS` and a folder of photographs, unless they are there."""
    if root.list("photos"):  # written last
        return
    for number, painter in enumerate(PAINTERS):
        seeds = [_ARTWORK_SEED + 100 * number + i for i in range(NUM_ARTWORKS)]
        scenes = [draw_scene(seed, width_px=192, height_px=160) for seed in seeds]
        drawn = {
            f"gallery/{painter}/{i:02d} {scene.subject}.png": encode(
                Picture(paint(scene.image, painter, seed), None), ".png", quality=92
            )
            for i, (scene, seed) in enumerate(zip(scenes, seeds, strict=True))
        }
        captions = {f"{key.removesuffix('.png')}.txt": scene.caption for key, scene in zip(drawn, scenes, strict=True)}
        root.write_many({**drawn, **{key: text.encode() for key, text in captions.items()}})
        _say(f"drew {len(drawn)} artworks by {painter}")
    photos = {}
    for i, subject in enumerate(SUBJECTS[:12]):
        width, height = _SHAPES[i % len(_SHAPES)]
        scene = draw_scene(_PHOTO_SEED + i, subject, width_px=width, height_px=height)
        photos[f"photos/roll {i % 3 + 1}/{subject}.jpg"] = _encode(scene.image, ".jpg")
    root.write_many(photos)


def _encode(picture: np.ndarray, suffix: str) -> bytes:
    return encode(Picture(picture, None), suffix, quality=92)


def _say(text: str) -> None:
    say(text, flush=True)
