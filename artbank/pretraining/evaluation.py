"""The figures that the miniature base model must reach, measured one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from transformers import CLIPModel, CLIPProcessor

from artbank.mini.drawing.painters import HELD_OUT, PAINTERS, TRAINED
from artbank.pretraining.corpus import name_painter, write_caption
from artbank.pretraining.judge import Judge
from artbank.pretraining.measures import (
    Naming,
    embed_pictures,
    mean_psnr,
    mean_structure,
    name_pictures,
    recognize_painters,
    reconstruct,
    retrieve_captions,
    time_generation,
    time_prompt_gradient,
)
from artbank.pretraining.sampling import STEPS, generate, restyle
from artbank.pretraining.trials import (
    draw_held_out,
    draw_pairs,
    draw_photos,
    held_out_seeds,
    paint_all,
    read_photos,
    write_prompts,
)

logger = logging.getLogger(__name__)

STRENGTH = 0.5


@dataclass(frozen=True)
class Sizes:
    """How many pictures each figure is measured on."""

    reconstructed_scenes: int = 50
    judged_scenes: int = 100
    pairs: int = 100
    scenes_per_painter: int = 20
    prompts: int = 200
    restyled_scenes: int = 100
    timings: int = 5


FULL = Sizes()
REDUCED = Sizes(
    reconstructed_scenes=8,
    judged_scenes=20,
    pairs=40,
    scenes_per_painter=5,
    prompts=16,
    restyled_scenes=16,
    timings=1,
)


@dataclass(frozen=True)
class Figure:
    """One measured figure with its thresholds.

    Attributes:
        name: What was measured.
        value: In `unit`; shares in percent.
        unit: "dB", "%", "s", or "" for a bare number.
        wanted: Threshold; None if there is none.
        wanted_cpu: Threshold for CPU-only weights.
        at_most: Whether the thresholds are upper bounds.
    """

    name: str
    value: float
    unit: str
    wanted: float | None = None
    wanted_cpu: float | None = None
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """Return "yes", "CPU-only" (only the second threshold is met), "no", or "" (there is no threshold)."""
        if self.wanted is None or self.wanted_cpu is None:
            return ""
        if self._meets(self.wanted):
            return "yes"
        return "CPU-only" if self._meets(self.wanted_cpu) else "no"

    def _meets(self, threshold: float) -> bool:
        return self.value <= threshold if self.at_most else self.value >= threshold

    @property
    def row(self) -> str:
        """The figure as a row of a Markdown table."""
        asked = ""
        if self.wanted is not None:
            second = "" if self.wanted_cpu == self.wanted else f" ({self.wanted_cpu:g})"
            asked = f"{'<=' if self.at_most else '>='} {self.wanted:g}{second} {self.unit}".rstrip()
        value = f"{self.value:.1f}" if self.unit in ("dB", "%") else f"{self.value:.2f}"
        return f"| {self.name} | {value} {self.unit} | {asked} | {self.verdict} |".replace("  ", " ")


class Evaluation:
    """One evaluation of one weights folder."""

    def __init__(self, weights: Path, sizes: Sizes, *, seed: int = 0, dtype: torch.dtype = torch.bfloat16):
        """Open an evaluation.

        Args:
            weights: Folder in diffusers' layout, with `clip` and `judge` in it.
            sizes: Pictures per figure.
            seed: Seed of the noise and of the held-out scenes.
            dtype: Precision of the generated pictures.

        Raises:
            FileNotFoundError: There is no model in `weights`.
        """
        if not (weights / "model_index.json").exists():
            raise FileNotFoundError(
                f"no weights in {weights}; pretrain them with python -m artbank.pretraining.pretrain"
            )
        self.weights = weights
        self.sizes = sizes
        self.seed = seed
        self.dtype = dtype
        self.judge = Judge.load(weights / "judge")

    @cached_property
    def pipeline(self) -> StableDiffusionPipeline:
        """The text-to-image pipeline, as diffusers loads it."""
        return _quiet(StableDiffusionPipeline.from_pretrained(self.weights, dtype=self.dtype))

    def measure(self, photos: Path | None) -> Iterator[Figure]:
        """Yield all figures; those on real photographs only where `photos` is a folder."""
        yield from self.measure_vae(photos)
        yield from self.measure_clip()
        yield from self.measure_judge()
        yield from self.measure_text_to_image()
        yield from self.measure_image_to_image()
        yield from self.measure_speed()

    def measure_vae(self, photos: Path | None) -> Iterator[Figure]:
        """Yield the reconstruction figures, in float32."""
        vae = StableDiffusionPipeline.from_pretrained(self.weights, dtype=torch.float32).vae
        if photos is not None and photos.is_dir():
            real = read_photos(photos)
            yield Figure(f"VAE, {len(real)} real photos, PSNR", mean_psnr(real, reconstruct(vae, real)), "dB", 26, 24)
        else:
            logger.info("no folder of real photographs at %s: that figure is left out", photos)
        seeds = held_out_seeds("reconstruction", self.sizes.reconstructed_scenes, self.seed)
        examples = draw_held_out(seeds, num_painters=3)
        drawn = np.stack([example.image for example in examples])
        again = reconstruct(vae, drawn)
        painted = np.array([bool(example.painter) for example in examples])
        for kind, chosen, asked in (("photographs", ~painted, (28, 26)), ("paintings", painted, ())):
            psnr = mean_psnr(drawn[chosen], again[chosen])
            yield Figure(f"VAE, {chosen.sum()} rendered {kind}, PSNR", psnr, "dB", *asked)

    def measure_clip(self) -> Iterator[Figure]:
        """Yield caption retrieval and painter recognition, in float32."""
        clip = CLIPModel.from_pretrained(self.weights / "clip", dtype=torch.float32).eval()
        processor = CLIPProcessor.from_pretrained(self.weights / "clip")
        pairs = draw_pairs(self.sizes.pairs, self.seed)
        found = retrieve_captions(clip, processor, pairs)
        name = f"CLIP, caption retrieval among {len(pairs)}, top-1, mean of both directions"
        yield Figure(name, 100 * found.mean, "%", 85, 60)
        yield Figure("- picture to caption", 100 * found.to_text, "%")
        yield Figure("- caption to picture", 100 * found.to_image, "%")
        known, unknown = (
            {name: embed_pictures(clip, processor, paint_all(photos, name)) for name in PAINTERS}
            for photos in (self._photos("centroids"), self._photos("recognition"))
        )
        hits = recognize_painters(known, unknown)
        name = f"CLIP, nearest-centroid recognition of {len(PAINTERS)} painters"
        yield Figure(name, 100 * float(np.mean(list(hits.values()))), "%", 90, 75)
        yield Figure("- of which held out", 100 * float(np.mean([hits[name] for name in HELD_OUT])), "%")

    def _photos(self, trial: str) -> np.ndarray:
        return draw_photos(held_out_seeds(trial, self.sizes.scenes_per_painter, self.seed))[0]

    def measure_judge(self) -> Iterator[Figure]:
        """Yield the judge's own accuracy on rendered pictures."""
        examples = draw_held_out(held_out_seeds("judging", self.sizes.judged_scenes, self.seed), num_painters=2)
        asked = [(example.subject, example.painter) for example in examples]
        naming = name_pictures(self.judge, np.stack([example.image for example in examples]), asked)
        yield from _naming_figures(f"Judge on {len(examples)} held-out rendered pictures", naming)

    def measure_text_to_image(self) -> Iterator[Figure]:
        """Yield how often the judge names the prompt's subject and painter."""
        prompts = write_prompts(self.sizes.prompts, self.seed)
        pictures = generate(self.pipeline, [prompt for prompt, _, _ in prompts], seed=self.seed)
        naming = name_pictures(self.judge, pictures, [(subject, painter) for _, subject, painter in prompts])
        yield from _naming_figures(f"Text to image, {len(prompts)} prompts", naming, (80, 50), (80, 60))

    def measure_image_to_image(self) -> Iterator[Figure]:
        """Yield how often the judge names the prompt's painter, and how much of the photo's structure is kept."""
        photos, seen = draw_photos(held_out_seeds("restyling", self.sizes.restyled_scenes, self.seed))
        painters = [TRAINED[i % len(TRAINED)] for i in range(len(photos))]
        prompts = [write_caption(words, name_painter(painter)) for words, painter in zip(seen, painters, strict=True)]
        pipeline = _quiet(StableDiffusionImg2ImgPipeline.from_pretrained(self.weights, dtype=self.dtype))
        pictures = restyle(pipeline, photos, prompts, strength=STRENGTH, seed=self.seed)
        naming = name_pictures(self.judge, pictures, [("", painter) for painter in painters])
        name = f"img2img at strength {STRENGTH:g}, {len(photos)} scenes"
        yield Figure(f"{name}, painter named", 100 * naming.painter, "%", 70, 50)
        yield Figure(f"{name}, SSIM of coarse luma", mean_structure(pictures, photos), "", 0.6, 0.6)

    def measure_speed(self) -> Iterator[Figure]:
        """Yield the seconds of a picture and of a prompt gradient on 2 threads, in float32 and bfloat16."""
        for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
            pipeline = _quiet(StableDiffusionPipeline.from_pretrained(self.weights, dtype=dtype))
            picture = time_generation(pipeline, repeats=self.sizes.timings)
            gradient = time_prompt_gradient(pipeline.unet, repeats=self.sizes.timings)
            yield Figure(f"One guided picture, {STEPS} steps, 2 threads, {name}", picture, "s", 2, 2, at_most=True)
            yield Figure(f"Gradient to the prompt, batch 8, 2 threads, {name}", gradient, "s", 0.8, 0.8, at_most=True)


def _quiet(pipeline: StableDiffusionPipeline) -> StableDiffusionPipeline:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _naming_figures(
    name: str, naming: Naming, subject: tuple[float, float] | None = None, painter: tuple[float, float] | None = None
) -> Iterator[Figure]:
    yield Figure(f"{name}, subject named", 100 * naming.subject, "%", *(subject or ()))
    yield Figure(f"{name}, painter named", 100 * naming.painter, "%", *(painter or ()))
