"""UNet forward pass for several prompts per sample, with cached cross-attention keys and values.

Shape legend: B samples, P prompts that each sample is denoised with, G cached prompts; E width of a time embedding, F
width of the six sizes of an image; C x h x w latents; C' planes of a level.

The forward pass is Stable Diffusion's own, over the parts of diffusers' UNet. Two changes save work and change no
result: samples are repeated for their P prompts only from the first cross-attention on, and the keys and values of a
prompt are computed once instead of at every step and for every sample. `DeepFeatures` save more, and change the result.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from artbank.diffusion.compilation import Compiled
from artbank.diffusion.prompted_network import PromptCache, PromptedNetwork
from artbank.diffusion.unet_blocks import (
    KeyValue,
    repeat_to,
    run_decoder,
    run_encoder,
    run_outer_encoder,
    split_outer_pairs,
)

Residuals = tuple[Tensor, ...]
"""What ControlNets add to the planes for the way up and, last, to those of the middle; each [B or P * B, C', h, w].

With deep features, what they add to the planes of the first block alone.
"""

_BLOCKS = {"DownBlock2D", "CrossAttnDownBlock2D", "UNetMidBlock2DCrossAttn", "CrossAttnUpBlock2D", "UpBlock2D"}
_UNSUPPORTED_SETTINGS = (  # of other models that diffusers' UNet supports
    "class_embed_type",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
    "time_embedding_act_fn",
    "center_input_sample",
    "dual_cross_attention",
    "only_cross_attention",
    "mid_block_only_cross_attention",
)
_PLAIN_SETTINGS = {"resnet_time_scale_shift": "default", "resnet_skip_time_act": False}  # see `run_resnet`


@dataclass
class DeepFeatures:
    """What all blocks of a UNet but the first and the last gave in a step, for steps near it that take it again.

    Attributes:
        planes: The input of the last block, [P * B, C', h, w], in the UNet's precision; None before the first step.

    Source: DeepCache, Ma et al., CVPR 2024; there, a few layers of these two blocks are run.
    """

    planes: Tensor | None = None


class Denoiser(PromptedNetwork):
    """A frozen UNet in the shape of Stable Diffusion 1.x, 2.x or SDXL."""

    def __init__(self, unet: UNet2DConditionModel, *, compile_after: int | None = None):
        """Wrap a UNet.

        Args:
            unet: One in which `find_unsupported` finds nothing.
            compile_after: Calls with latents of one shape before it is compiled for that shape; None for never.
        """
        super().__init__(unet)
        self.unet: Any = unet
        self._forward: Callable[..., Tensor] = _forward
        self._forward_keeping: Callable[..., tuple[Tensor, Tensor]] = _forward_keeping
        self._forward_outer: Callable[..., Tensor] = _forward_outer
        if compile_after is not None:
            self._forward, self._forward_keeping, self._forward_outer = (
                Compiled(forward, _shape_of_call, after=compile_after)
                for forward in (_forward, _forward_keeping, _forward_outer)
            )

    def __call__(
        self,
        latents: Tensor,
        times: Tensor,
        prompts: PromptCache,
        *,
        num_prompts: int = 1,
        sizes: Tensor | None = None,
        residuals: Residuals | None = None,
        deep: DeepFeatures | None = None,
    ) -> Tensor:
        """Predict for every sample with each of its prompts; returns float32 [P * B, C, h, w], prompt by prompt.

        Args:
            latents: [B, C, h, w].
            times: Time embeddings [1, E], or [B, E] if P is 1.
            prompts: The cache of G prompts: G = P, or G = P * B.
            num_prompts: P.
            sizes: Embeddings of the images' sizes, [1, F] or [B, F], for a UNet that takes them.
            residuals: What ControlNets add to its planes; None without any.
            deep: Features of an earlier step with the same samples and prompts, of which the first and the last block
                predict alone; if they are empty, they are filled with those of this step. None neither takes nor keeps
                any.
        """
        times = self._activate_times(times, prompts, sizes, num_prompts * len(latents))
        sample = latents.to(self._dtype).contiguous(memory_format=torch.channels_last)
        given = (self.unet, sample, times, prompts.pairs, num_prompts)
        added = () if residuals is None else (residuals,)  # no argument more for the common call
        # Always copies: a CUDA graph returns every result in the same memory.
        if deep is None:
            predicted = self._forward(*given, *added)
        elif deep.planes is None:
            predicted, planes = self._forward_keeping(*given, *added)
            deep.planes = planes.clone()
        else:
            predicted = self._forward_outer(*given, residuals, deep.planes)
        return predicted.to(torch.float32, copy=True)


def find_unsupported(unet: UNet2DConditionModel) -> str | None:
    """Return the parts and settings of a UNet that no supported family has; None without any."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    unknown = sorted({type(block).__name__ for block in blocks} - _BLOCKS)
    settings = [name for name in _UNSUPPORTED_SETTINGS if unet.config.get(name)]
    addition = unet.config.get("addition_embed_type")
    if addition not in (None, "text_time"):
        settings.append(f"addition_embed_type {addition}")
    for name, plain in _PLAIN_SETTINGS.items():
        if unet.config.get(name, plain) != plain:
            settings.append(f"{name} {unet.config[name]}")
    return ", ".join([*unknown, *settings]) or None


def _shape_of_call(
    unet: Any,
    sample: Tensor,
    times: Tensor,
    pairs: tuple[KeyValue, ...],
    num_prompts: int,
    residuals: Residuals | None = None,
    deep: Tensor | None = None,
) -> Hashable:
    added = residuals and tuple(len(one) for one in residuals)
    return tuple(sample.shape), len(times), num_prompts, len(pairs[0][0]), torch.is_grad_enabled(), added


def _forward(
    unet: Any,
    sample: Tensor,
    times: Tensor,
    pairs: tuple[KeyValue, ...],
    num_prompts: int,
    residuals: Residuals | None = None,
) -> Tensor:
    """Return the prediction [P * B, C, h, w] of the UNet in its own precision."""
    left, count = iter(pairs), num_prompts * len(sample)
    x, skips = _run_down(unet, sample, times, left, count, residuals)
    return _run_out(unet, run_decoder(unet.up_blocks, x, skips, times, left, count))


def _forward_keeping(
    unet: Any,
    sample: Tensor,
    times: Tensor,
    pairs: tuple[KeyValue, ...],
    num_prompts: int,
    residuals: Residuals | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the prediction of `_forward`, and what its last block took: [P * B, C', h, w]."""
    left, count = iter(pairs), num_prompts * len(sample)
    x, skips = _run_down(unet, sample, times, left, count, residuals)
    *inner, last = unet.up_blocks
    deep = run_decoder(inner, x, skips, times, left, count)
    return _run_out(unet, run_decoder([last], deep, skips, times, left, count)), deep


def _forward_outer(
    unet: Any,
    sample: Tensor,
    times: Tensor,
    pairs: tuple[KeyValue, ...],
    num_prompts: int,
    residuals: Residuals | None,
    deep: Tensor,
) -> Tensor:
    """Return the prediction of the first and the last block alone, the last of which takes `deep` [P * B, C', h, w]."""
    count = num_prompts * len(sample)
    first_pairs, last_pairs = split_outer_pairs(unet, pairs)
    skips = run_outer_encoder(unet, _run_in(unet, sample, times), times, iter(first_pairs), count)
    if residuals is not None:
        skips = [add_planes(skip, own) for skip, own in zip(skips, residuals, strict=True)]
    return _run_out(unet, run_decoder([unet.up_blocks[-1]], deep, skips, times, iter(last_pairs), count))


def _run_in(unet: Any, sample: Tensor, times: Tensor) -> Tensor:
    """Return the first planes [B, C', h, w]; [P * B, ...] if prompts differ in the time embedding already."""
    x = unet.conv_in(sample)
    return repeat_to(x, len(times)) if len(times) > len(x) else x


def _run_down(
    unet: Any, sample: Tensor, times: Tensor, left: Iterator[KeyValue], count: int, residuals: Residuals | None
) -> tuple[Tensor, list[Tensor]]:
    """Return the planes of the middle and those for the way up; [P * B, ...] from the first cross-attention on."""
    skips, x = run_encoder(unet, _run_in(unet, sample, times), times, left, count)
    if residuals is not None:
        skips = [add_planes(skip, own) for skip, own in zip(skips, residuals[:-1], strict=True)]
        x = add_planes(x, residuals[-1])
    return x, skips


def _run_out(unet: Any, x: Tensor) -> Tensor:
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def add_planes(one: Tensor, other: Tensor) -> Tensor:
    """Add planes [B or P * B, C', h, w]; the fewer are repeated."""
    count = max(len(one), len(other))
    return repeat_to(one, count) + repeat_to(other, count)
