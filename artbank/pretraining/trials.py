"""Test data for the miniature base model: held-out scenes, prompts, and real photographs if there are some.

Shape legend: n pictures, S side of a square picture, px; pictures uint8 [n, S, S, 3] sRGB.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from artbank.mini.drawing.painters import TRAINED, paint
from artbank.mini.drawing.scenes import SUBJECTS, draw_scene
from artbank.pretraining.corpus import HELD_OUT_SEEDS, Example, draw_examples, name_painter, write_caption
from artbank.pretraining.networks import NATIVE_PX

_SEEDS_PER_TRIAL = 10_000
_TRIALS = ("reconstruction", "judging", "retrieval", "centroids", "recognition", "prompts", "restyling", "sheets")
_PAINTINGS = 0.75  # share of paintings among the captioned pairs, as in the corpus


def held_out_seeds(trial: str, count: int, seed: int = 0) -> range:
    """Return `count` seeds of scenes that no network has seen and no other trial uses.

    Args:
        trial: One of `_TRIALS`.
        count: Number of scenes, at most 10 000.
        seed: Seed of the evaluation; another one gives other scenes.

    Raises:
        ValueError: No such trial.
    """
    start = HELD_OUT_SEEDS + (seed * len(_TRIALS) + _TRIALS.index(trial)) * _SEEDS_PER_TRIAL
    return range(start, start + count)


def draw_held_out(seeds: range, *, num_painters: int) -> list[Example]:
    """Draw each scene as the corpus would: a photograph, and paintings by `num_painters` trained painters."""
    examples = []
    for number, seed in enumerate(seeds):
        names = tuple(TRAINED[(number * num_painters + i) % len(TRAINED)] for i in range(num_painters))
        examples += draw_examples(seed, names, side_px=NATIVE_PX)
    return examples


def draw_pairs(count: int, seed: int = 0) -> list[Example]:
    """Draw pictures of different scenes with different captions; as many are paintings as in the corpus."""
    pairs: dict[str, Example] = {}
    for scene in held_out_seeds("retrieval", 20 * count, seed):
        rng = np.random.default_rng([scene, 3])
        painters = (str(rng.choice(TRAINED)),) if rng.random() < _PAINTINGS else ()
        example = draw_examples(scene, painters, side_px=NATIVE_PX)[-1]
        pairs.setdefault(example.caption, example)
        if len(pairs) == count:
            break
    return list(pairs.values())


def paint_all(photos: np.ndarray, painter: str) -> np.ndarray:
    """Paint every photo in one painter's manner, [n, S, S, 3]."""
    return np.stack([paint(photo, painter, number) for number, photo in enumerate(photos)])


def draw_photos(seeds: range) -> tuple[np.ndarray, list[str]]:
    """Draw scenes at the native size; returns photographs [n, S, S, 3] and the caption of each."""
    scenes = [draw_scene(seed, width_px=NATIVE_PX, height_px=NATIVE_PX) for seed in seeds]
    return np.stack([scene.image for scene in scenes]), [scene.caption for scene in scenes]


def write_prompts(count: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """Write prompts such as "a harbour at dusk, in the manner of Maurel" over subjects and trained painters.

    Every pair of subject and painter comes once before any comes twice.

    Returns:
        `count` triples of prompt, subject and painter.
    """
    pairs = list(product(SUBJECTS, TRAINED))
    order = np.random.default_rng(seed).permutation(len(pairs))
    prompts = []
    for number, scene_seed in enumerate(held_out_seeds("prompts", count, seed)):
        subject, painter = pairs[order[number % len(pairs)]]
        brief = draw_scene(scene_seed, subject, width_px=32, height_px=32).brief
        prompts.append((write_caption(brief, name_painter(painter)), subject, painter))
    return prompts


def read_photos(folder: Path, *, side_px: int = NATIVE_PX) -> np.ndarray:
    """Read every picture in a folder upright, short side resized to `side_px`, centre-cropped, [n, S, S, 3]."""
    return np.stack([_crop_square(Image.open(path), side_px) for path in sorted(folder.iterdir())])


def _crop_square(image: Image.Image, side_px: int) -> np.ndarray:
    upright = ImageOps.exif_transpose(image).convert("RGB")
    return np.asarray(ImageOps.fit(upright, (side_px, side_px), Image.Resampling.LANCZOS))
