"""Count what a call of the UNet in training holds in the memory of its device.

Shape legend: B examples; C x h x w latents; L rows of an encoded prompt, D its width.
"""

from __future__ import annotations

import torch
from torch import nn

from artbank.diffusion.memory_count import count_bytes, run_backward
from artbank.diffusion.network_copies import copy_to_meta
from artbank.diffusion.prompted_network import NUM_SIZES, count_pooled
from artbank.diffusion.unet import Denoiser

_PROMPT_ROWS = 77  # of CLIP; a pooled vector takes one more


def count_call_bytes(unet: nn.Module, shape: tuple[int, int, int], num_examples: int = 1) -> int:
    """Return the most bytes that a call of a UNet holds, forward and backward, beside its weights.

    The network is run without its numbers, which takes about a second at the size of Stable Diffusion, so the count is
    that of the very operations of a training: in its precision, with its low-rank layers and gradient checkpointing.
    Every example adds the same.

    Args:
        unet: On any device; it stays as it is.
        shape: Shape of the latents, C x h x w.
        num_examples: B.
    """
    denoiser = Denoiser(copy_to_meta(unet))  # pyright: ignore[reportArgumentType]
    with torch.enable_grad(), count_bytes() as counted:  # a validation, too, may ask first
        _run_call(denoiser, shape, num_examples)
    return counted.peak


def _run_call(denoiser: Denoiser, shape: tuple[int, int, int], num_examples: int) -> None:
    pooled = count_pooled(denoiser.unet)
    rows = _PROMPT_ROWS + bool(pooled)
    width = denoiser.unet.config.cross_attention_dim
    with torch.device("meta"):
        prompts = torch.empty(num_examples, rows, width, requires_grad=True)  # [B, L, D]
        latents = torch.empty(num_examples, *shape)
        timesteps = torch.empty(num_examples)
        sizes = denoiser.embed_sizes(torch.empty(num_examples, NUM_SIZES)) if pooled else None
    predicted = denoiser(latents, timesteps, denoiser.cache_prompts(prompts), sizes=sizes)
    run_backward((predicted - latents).square().mean())
