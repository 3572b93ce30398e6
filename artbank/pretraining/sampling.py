"""Generate pictures with Stable Diffusion pipelines, in batches; each has a seed of its own.

Shape legend: n pictures, S side of a square picture, px; pictures uint8 [n, S, S, 3] sRGB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image

from artbank.pretraining.networks import NATIVE_PX

STEPS = 20
GUIDANCE = 5.0
RESTYLE_GUIDANCE = 3.25  # less, since more costs the photo's structure
BATCH_SIZE = 16


def generate(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    seed: int = 0,
) -> np.ndarray:
    """Generate one square picture of the native size for each prompt.

    Args:
        pipeline: The pipeline as diffusers loads it.
        prompts: One per picture.
        steps: Solver steps.
        guidance: Classifier-free guidance scale; 1 for none.
        seed: Picture i starts from the noise of seed + i, in any batch.
    """
    size = {"height": NATIVE_PX, "width": NATIVE_PX}
    return _sample(pipeline, prompts, seed, lambda batch: size, num_inference_steps=steps, guidance_scale=guidance)


def restyle(
    pipeline: StableDiffusionImg2ImgPipeline,
    photos: np.ndarray,
    prompts: Sequence[str],
    *,
    strength: float = 0.5,
    steps: int = STEPS,
    guidance: float = RESTYLE_GUIDANCE,
    seed: int = 0,
) -> np.ndarray:
    """Redo photos [n, S, S, 3] under their prompts; `strength` is the share of the schedule redone, 0..1."""
    return _sample(
        pipeline,
        prompts,
        seed,
        lambda batch: {"image": [Image.fromarray(photo) for photo in photos[batch]]},
        strength=strength,
        num_inference_steps=steps,
        guidance_scale=guidance,
    )


def _sample(
    pipeline: StableDiffusionPipeline | StableDiffusionImg2ImgPipeline,
    prompts: Sequence[str],
    seed: int,
    inputs: Callable[[slice], dict[str, object]],
    **settings: float,
) -> np.ndarray:
    pictures = []
    for start in range(0, len(prompts), BATCH_SIZE):
        batch = slice(start, min(start + BATCH_SIZE, len(prompts)))
        generators = [torch.Generator().manual_seed(seed + i) for i in range(batch.start, batch.stop)]
        output = pipeline(
            prompt=list(prompts[batch]), generator=generators, output_type="np", **inputs(batch), **settings
        )
        pictures.append(output.images)
    return np.round(np.concatenate(pictures) * 255).astype(np.uint8)
