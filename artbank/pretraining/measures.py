"""The measurements that the miniature base model must pass: pure functions of loaded networks and pictures.

Shape legend: n pictures, B batch, S side of a square picture, px, C dimensions of CLIP's space (128), L tokens of a
caption (77), D text width; pictures uint8 [n, S, S, 3] sRGB, inputs of networks float [B, 3, S, S], -1..1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from more_itertools import sliced
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from transformers import CLIPModel, CLIPProcessor

from artbank.pretraining.corpus import Example
from artbank.pretraining.judge import Judge
from artbank.pretraining.sampling import STEPS, generate

_BATCH_SIZE = 32


@dataclass(frozen=True)
class Naming:
    """Shares of pictures, 0..1, whose subject and whose painter the judge names correctly."""

    subject: float
    painter: float


@dataclass(frozen=True)
class Retrieval:
    """Shares of top-1 hits, 0..1, from each picture to its caption and from each caption to its picture."""

    to_text: float
    to_image: float

    @property
    def mean(self) -> float:
        """Mean of both directions, 0..1."""
        return (self.to_text + self.to_image) / 2


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pictures: np.ndarray) -> np.ndarray:
    """Encode pictures and decode the means of their posteriors, uint8 [n, S, S, 3]."""
    decoded = []
    for batch in _to_network(pictures):
        mean = vae.encode(batch.to(vae.device, vae.dtype)).latent_dist.mean
        decoded.append(vae.decode(mean).sample.float().cpu())
    pixels = (torch.cat(decoded) / 2 + 0.5).clamp(0, 1) * 255
    return pixels.round().byte().permute(0, 2, 3, 1).numpy()


def mean_psnr(pictures: np.ndarray, others: np.ndarray) -> float:
    """Return the mean over pictures of the peak signal-to-noise ratio, dB."""
    pairs = zip(pictures, others, strict=True)
    return float(np.mean([peak_signal_noise_ratio(a, b, data_range=255) for a, b in pairs]))


@torch.no_grad()
def embed_pictures(clip: CLIPModel, processor: CLIPProcessor, pictures: np.ndarray) -> Tensor:
    """Return CLIP's unit embeddings of pictures, float32 [n, C]."""
    embedded = []
    for batch in sliced(pictures, _BATCH_SIZE):
        inputs = processor(images=list(batch), return_tensors="pt")
        embedded.append(clip.get_image_features(**inputs.to(clip.device, clip.dtype)).pooler_output.float())
    return torch.nn.functional.normalize(torch.cat(embedded), dim=1)


@torch.no_grad()
def embed_captions(clip: CLIPModel, processor: CLIPProcessor, captions: Sequence[str]) -> Tensor:
    """Return CLIP's unit embeddings of captions, float32 [n, C]."""
    inputs = processor(text=list(captions), padding=True, truncation=True, return_tensors="pt").to(clip.device)
    return torch.nn.functional.normalize(clip.get_text_features(**inputs).pooler_output.float(), dim=1)


def retrieve_captions(clip: CLIPModel, processor: CLIPProcessor, pairs: Sequence[Example]) -> Retrieval:
    """Match each picture with its caption among all of `pairs`, by cosine, in both directions."""
    images = embed_pictures(clip, processor, np.stack([pair.image for pair in pairs]))
    texts = embed_captions(clip, processor, [pair.caption for pair in pairs])
    similarity, truth = images @ texts.T, torch.arange(len(pairs))  # [n, n]
    hits = [(similarity.argmax(dim) == truth).float().mean().item() for dim in (1, 0)]
    return Retrieval(*hits)


def recognize_painters(known: dict[str, Tensor], unknown: dict[str, Tensor]) -> dict[str, float]:
    """Name painters by the nearest centroid of their pictures' embeddings.

    Args:
        known: Unit embeddings [n, C] per painter, which give the centroids.
        unknown: Unit embeddings [n, C] per painter, of other scenes; these are named.

    Returns:
        The share of hits per painter of `unknown`, 0..1.
    """
    names = list(known)
    centroids = torch.stack([embeddings.mean(0) for embeddings in known.values()])
    centroids = torch.nn.functional.normalize(centroids, dim=1)
    return {
        painter: (embeddings @ centroids.T).argmax(1).eq(names.index(painter)).float().mean().item()
        for painter, embeddings in unknown.items()
    }


def name_pictures(judge: Judge, pictures: np.ndarray, asked: Sequence[tuple[str, str]]) -> Naming:
    """Let the judge name pictures; `asked` holds the true subject and painter of each ("" for a photograph)."""
    named = [pair for batch in _to_network(pictures) for pair in judge.name(batch)]
    subjects, painters = zip(*[(n[0] == a[0], n[1] == a[1]) for n, a in zip(named, asked, strict=True)], strict=True)
    return Naming(float(np.mean(subjects)), float(np.mean(painters)))


def mean_structure(pictures: np.ndarray, photos: np.ndarray) -> float:
    """Return the mean SSIM between the lumas of pictures and photos, both reduced 4x by area averaging."""
    pairs = zip(pictures, photos, strict=True)
    return float(np.mean([structural_similarity(_coarse_luma(a), _coarse_luma(b), data_range=255) for a, b in pairs]))


def time_generation(
    pipeline: StableDiffusionPipeline, *, threads: int = 2, repeats: int = 5, steps: int = STEPS
) -> float:
    """Return the median seconds of one guided picture of the native size, after a warm-up."""
    with _threads(threads):
        return _median_seconds(lambda: generate(pipeline, ["a harbour at dusk"], steps=steps), repeats)


def time_prompt_gradient(
    unet: UNet2DConditionModel, *, batch_size: int = 8, tokens: int = 77, threads: int = 2, repeats: int = 5
) -> float:
    """Return the median seconds of one forward and backward of the frozen UNet to its prompt, after a warm-up."""
    generator = torch.Generator().manual_seed(0)
    side = unet.config.sample_size
    latents = torch.randn(batch_size, unet.config.in_channels, side, side, generator=generator).to(unet.dtype)
    prompt = torch.randn(batch_size, tokens, unet.config.cross_attention_dim, generator=generator)  # [B, L, D]
    prompt = prompt.to(unet.dtype).requires_grad_()
    t = torch.full((batch_size,), 500)

    def step() -> None:
        prompt.grad = None
        unet(latents, t, prompt).sample.float().pow(2).mean().backward()

    learns = [parameter.requires_grad for parameter in unet.parameters()]
    unet.requires_grad_(False)
    try:
        with _threads(threads):
            return _median_seconds(step, repeats)
    finally:
        for parameter, learn in zip(unet.parameters(), learns, strict=True):
            parameter.requires_grad_(learn)


def _to_network(pictures: np.ndarray) -> Iterator[Tensor]:
    for batch in sliced(pictures, _BATCH_SIZE):
        yield torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 127.5 - 1


def _coarse_luma(picture: np.ndarray) -> np.ndarray:
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return cv2.resize(luma.astype(np.float32), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _median_seconds(work: Callable[[], object], repeats: int) -> float:
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return median(seconds)
