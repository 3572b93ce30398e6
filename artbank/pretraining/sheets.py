"""Contact sheets of the miniature base model: its corpus, its samples, its reconstructions.

    python -m artbank.pretraining.sheets                  six JPEGs in docs/mini, about 3 minutes on 2 cores
    python -m artbank.pretraining.sheets --only subjects  one of them

Shape legend: S side of a picture on a sheet, px; pictures uint8 [S, S, 3] sRGB.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import skimage.data
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image, ImageOps

from artbank.mini import WEIGHTS
from artbank.mini.drawing.manners.engines import paint_sampled
from artbank.mini.drawing.manners.space import MannerSettings, sample_manner
from artbank.mini.drawing.painters import HELD_OUT, PAINTERS, TRAINED, paint
from artbank.mini.drawing.scenes import LIGHTS, SUBJECTS, Scene, draw_scene
from artbank.pretraining.corpus import name_painter, write_caption
from artbank.pretraining.grids import Row, draw_grid, save_sheet
from artbank.pretraining.measures import reconstruct
from artbank.pretraining.networks import NATIVE_PX
from artbank.pretraining.sampling import generate, restyle
from artbank.pretraining.trials import held_out_seeds

SHEET_BYTES = {
    "subjects": 170_000,
    "painters": 180_000,
    "manners": 300_000,
    "samples": 300_000,
    "img2img": 200_000,
    "reconstruction": 130_000,
}
STRENGTHS = (0.5, 0.6)
_WALKER = 27  # seed of the manner whose size and hue are walked through
_COLUMNS = 10
_REAL = ("astronaut", "coffee", "chelsea", "rocket")  # photographs that come inside scikit-image


class Sheets:
    """The contact sheets of one folder of weights."""

    def __init__(self, weights: Path, side_px: int = 96):
        """Prepare sheets with pictures of `side_px` px."""
        self.weights = weights
        self.side_px = side_px

    @cached_property
    def pipeline(self) -> StableDiffusionPipeline:
        """The text-to-image pipeline in bfloat16."""
        pipeline = StableDiffusionPipeline.from_pretrained(self.weights, dtype=torch.bfloat16)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def draw_subjects(self) -> Image.Image:
        """Draw photographs of every subject in every light, as in the corpus."""
        lights = [*LIGHTS, *LIGHTS][:8]
        rows = [
            (subject, [_draw(100 * row + i, subject, light).image for i, light in enumerate(lights)])
            for row, subject in enumerate(SUBJECTS)
        ]
        return draw_grid(rows, lights, self.side_px)

    def draw_painters(self) -> Image.Image:
        """Draw a few photographs in every painter's manner, held-out painters marked."""
        rows = []
        for number, scene in enumerate(_pick_scenes(5)):
            paintings = [paint(scene.image, painter, number) for painter in PAINTERS]
            rows.append((scene.subject, [scene.image, *paintings]))
        columns = [f"{painter} *" if painter in HELD_OUT else painter for painter in PAINTERS]
        return draw_grid(rows, ["photograph", *columns], self.side_px, note="* held out: in no caption of the corpus")

    def draw_manners(self) -> Image.Image:
        """Walk along size and hue of one manner, then draw sampled manners, all of the same photographs."""
        harbour, portrait = (
            _draw(seed, name, "at noon").image for seed, name in ((5, "a harbour"), (32, "a portrait"))
        )
        start = replace(sample_manner(_WALKER), palette="limited")
        rows: list[Row] = []
        for turn in (0.0, 1.6, 3.2):
            sizes = np.geomspace(1.6, 9, _COLUMNS)
            walk = [replace(start, hue=start.hue + turn, size_px=float(size)) for size in sizes]
            rows.append(("size, hue", [_paint_manner(harbour, manner) for manner in walk]))
        for first in range(0, 5 * _COLUMNS, _COLUMNS):
            sampled = [sample_manner(seed) for seed in range(first, first + _COLUMNS)]
            rows.append((f"{first} to {first + _COLUMNS - 1}", [_paint_manner(portrait, manner) for manner in sampled]))
        return draw_grid(rows, [], self.side_px)

    def draw_samples(self) -> Image.Image:
        """Generate every subject in a light of its own by every trained painter."""
        rows = []
        for number, subject in enumerate(SUBJECTS):
            light = _draw(number, subject, list(LIGHTS)[number % len(LIGHTS)]).light
            seen = f"{subject} {light}".strip()
            prompts = [write_caption(seen, name_painter(painter)) for painter in ("", *TRAINED)]
            rows.append((seen, list(generate(self.pipeline, prompts, seed=1000 * number))))
        return draw_grid(rows, ["photograph", *TRAINED], self.side_px - 16)

    def draw_img2img(self) -> Image.Image:
        """Redo held-out photographs by every trained painter, at each of `STRENGTHS`."""
        pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(self.weights, dtype=torch.bfloat16)
        pipeline.set_progress_bar_config(disable=True)
        rows = []
        for number, scene in enumerate(_pick_scenes(4)):
            prompts = [write_caption(scene.caption, name_painter(painter)) for painter in TRAINED]
            photos = np.stack([scene.image] * len(prompts))
            for strength in STRENGTHS:
                pictures = restyle(pipeline, photos, prompts, strength=strength, seed=1000 * number)
                rows.append((f"{scene.subject}, {strength:g}", [scene.image, *pictures]))
        return draw_grid(rows, ["photograph", *TRAINED], self.side_px)

    def draw_reconstruction(self) -> Image.Image:
        """Draw photographs, paintings and real photographs, each row above its reconstructions."""
        vae = StableDiffusionPipeline.from_pretrained(self.weights, dtype=torch.float32).vae
        scenes = [scene.image for scene in _pick_scenes(8)]
        drawn = [paint(image, painter, 0) for image, painter in zip(scenes[4:], TRAINED, strict=False)]
        rows: list[Row] = []
        groups = (("drawn", [*scenes[:4], *drawn]), ("real", _real_photographs()))
        for name, pictures in groups:
            rows += [(name, list(pictures)), ("reconstructed", list(reconstruct(vae, np.stack(pictures))))]
        return draw_grid(rows, [], NATIVE_PX)


SHEETS: dict[str, Callable[[Sheets], Image.Image]] = {
    "subjects": Sheets.draw_subjects,
    "painters": Sheets.draw_painters,
    "manners": Sheets.draw_manners,
    "samples": Sheets.draw_samples,
    "img2img": Sheets.draw_img2img,
    "reconstruction": Sheets.draw_reconstruction,
}


def _paint_manner(photo: np.ndarray, manner: MannerSettings) -> np.ndarray:
    """Paint a photograph [S, S, 3] uint8 in a sampled manner."""
    painted = paint_sampled(photo.astype(np.float32) / 255, manner, np.random.default_rng(0))
    return np.round(painted * 255).astype(np.uint8)


def _draw(number: int, subject: str, light: str | None = None) -> Scene:
    seed = held_out_seeds("sheets", number + 1)[number]
    return draw_scene(seed, subject, light=light, width_px=NATIVE_PX, height_px=NATIVE_PX)


def _pick_scenes(count: int) -> list[Scene]:
    """Draw scenes of `count` subjects spread over the list."""
    picked = np.linspace(0, len(SUBJECTS) - 1, count).round().astype(int)
    return [_draw(5000 + int(i), SUBJECTS[i], ("at noon", "at dusk", "at dawn")[i % 3]) for i in picked]


def _real_photographs() -> list[np.ndarray]:
    size = (NATIVE_PX, NATIVE_PX)
    best = Image.Resampling.LANCZOS
    images = [Image.fromarray(getattr(skimage.data, name)()) for name in _REAL]
    return [np.asarray(ImageOps.fit(image.convert("RGB"), size, best)) for image in images]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m artbank.pretraining.sheets", description="Write contact sheets of the mini base model."
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights")
    parser.add_argument("--output", type=Path, default=Path("docs/mini"), help="folder of the sheets")
    parser.add_argument(
        "--only", nargs="+", choices=SHEETS, default=list(SHEETS), help="sheets to write; all by default"
    )
    options = parser.parse_args(arguments)
    sheets = Sheets(options.weights)
    for name in options.only:
        save_sheet(SHEETS[name](sheets), options.output / f"{name}.jpg", SHEET_BYTES[name])
        print(options.output / f"{name}.jpg", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
