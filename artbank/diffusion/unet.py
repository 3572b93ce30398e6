"""UNet forward pass for several prompts per sample, with cached cross-attention keys and values.

Shape legend: B samples, P prompts that each sample is denoised with, G cached prompts; F width of the six sizes of an
image; C x h x w latents; C' planes of a level.

The forward pass is Stable Diffusion's own, over the parts of diffusers' UNet. Two changes save work and change no
result: samples are repeated for their P prompts only from the first cross-attention on, and the keys and values of a
prompt are computed once instead of at every step and for every sample. `DeepFeatures` save more, and change the result.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from artbank.diffusion.compilation import Compiled, Compiler
from artbank.diffusion.prompted_network import PromptCache, PromptedNetwork
from artbank.diffusion.unet_blocks import (
    KeyValue,
    Shifts,
    repeat_to,
    run_decoder,
    run_encoder,
    run_outer_encoder,
    split_outer_pairs,
    split_outer_shifts,
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


class UnetCall(NamedTuple):
    """The inputs of the UNet in one call; a tuple, which `torch.compile` takes apart.

    Attributes:
        sample: [B, C, h, w] in the precision of the UNet.
        shifts: What its ResNets add for the timesteps, each [1, C'] or [P * B, C'].
        pairs: Keys and values of the prompts at each cross-attention.
        num_prompts: P.
        residuals: What ControlNets add to its planes; None without any.
        deep: What all blocks but the first and the last gave in an earlier step, see `DeepFeatures`; None to run them.
    """

    sample: Tensor
    shifts: Shifts
    pairs: tuple[KeyValue, ...]
    num_prompts: int
    residuals: Residuals | None = None
    deep: Tensor | None = None


@dataclass
class DeepFeatures:
    """The results of all blocks of a UNet but the first and the last in a step, which steps near it use again.

    Attributes:
        planes: The input of the last block, [P * B, C', h, w], in the UNet's precision; None before the first step.

    Source: DeepCache, Ma et al., CVPR 2024; there, a few layers of these two blocks are run.
    """

    planes: Tensor | None = None


class Denoiser(PromptedNetwork):
    """A frozen UNet in the shape of Stable Diffusion 1.x, 2.x or SDXL."""

    def __init__(self, unet: UNet2DConditionModel, compiler: Compiler | None = None):
        """Wrap a UNet.

        Args:
            unet: One in which `find_unsupported` finds nothing.
            compiler: Decides for which shapes of latents it is compiled; None for none.
        """
        super().__init__(unet)
        self.unet: Any = unet
        self._forward: Callable[..., Tensor] = _forward
        self._forward_keeping: Callable[..., tuple[Tensor, Tensor]] = _forward_keeping
        self._forward_outer: Callable[..., Tensor] = _forward_outer
        if compiler is not None and not compiler.is_off:
            self._forward, self._forward_keeping, self._forward_outer = (
                Compiled(forward, _shape_of_call, compiler) for forward in (_forward, _forward_keeping, _forward_outer)
            )

    def __call__(
        self,
        latents: Tensor,
        timesteps: Tensor | int,
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
            timesteps: One for all samples, or [B] if P is 1; 0..999.
            prompts: The cache of G prompts: G = P, or G = P * B.
            num_prompts: P.
            sizes: Embeddings of the images' sizes, [1, F] or [B, F], for a UNet that takes them.
            residuals: What ControlNets add to its planes; None without any.
            deep: Features of an earlier step with the same samples and prompts, of which the first and the last block
                predict alone; if they are empty, they are filled with those of this step. None neither takes nor keeps
                any.
        """
        shifts = self._find_shifts(timesteps, prompts, sizes, num_prompts * len(latents))
        sample = latents.to(self._dtype).contiguous(memory_format=torch.channels_last)
        call = UnetCall(sample, shifts, prompts.pairs, num_prompts, residuals, None if deep is None else deep.planes)
        # Always copies: a CUDA graph returns every result in the same memory.
        if deep is None:
            predicted = self._forward(self.unet, call)
        elif deep.planes is None:
            predicted, planes = self._forward_keeping(self.unet, call)
            deep.planes = planes.clone()
        else:
            predicted = self._forward_outer(self.unet, call)
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


def _shape_of_call(unet: Any, call: UnetCall) -> Hashable:
    added = call.residuals and tuple(len(planes) for planes in call.residuals)
    num_cached = len(call.pairs[0][0])
    return tuple(call.sample.shape), len(call.shifts[0]), call.num_prompts, num_cached, torch.is_grad_enabled(), added


def _forward(unet: Any, call: UnetCall) -> Tensor:
    """Return the prediction [P * B, C, h, w] of the UNet in its own precision."""
    shifts = iter(call.shifts)
    key_values = iter(call.pairs)
    count = call.num_prompts * len(call.sample)
    x, skips = _run_down(unet, call, shifts, key_values)
    return _run_out(unet, run_decoder(unet.up_blocks, x, skips, shifts, key_values, count))


def _forward_keeping(unet: Any, call: UnetCall) -> tuple[Tensor, Tensor]:
    """Return the prediction of `_forward`, and what its last block took: [P * B, C', h, w]."""
    shifts = iter(call.shifts)
    key_values = iter(call.pairs)
    count = call.num_prompts * len(call.sample)
    x, skips = _run_down(unet, call, shifts, key_values)
    *inner, last = unet.up_blocks
    deep = run_decoder(inner, x, skips, shifts, key_values, count)
    return _run_out(unet, run_decoder([last], deep, skips, shifts, key_values, count)), deep


def _forward_outer(unet: Any, call: UnetCall) -> Tensor:
    """Return the prediction of the first and the last block alone, the last of which takes the deep features."""
    count = call.num_prompts * len(call.sample)
    assert call.deep is not None, "no features are kept"
    first_pairs, last_pairs = split_outer_pairs(unet, call.pairs)
    first_shifts, last_shifts = (iter(shifts) for shifts in split_outer_shifts(unet, call.shifts))
    x = _run_in(unet, call)
    skips = run_outer_encoder(unet, x, first_shifts, iter(first_pairs), count)
    if call.residuals is not None:
        skips = [add_planes(skip, residual) for skip, residual in zip(skips, call.residuals, strict=True)]
    return _run_out(unet, run_decoder([unet.up_blocks[-1]], call.deep, skips, last_shifts, iter(last_pairs), count))


def _run_in(unet: Any, call: UnetCall) -> Tensor:
    """Return the first planes [B, C', h, w]; [P * B, ...] if prompts differ in the time embedding already."""
    x = unet.conv_in(call.sample)
    return repeat_to(x, max(len(call.shifts[0]), len(x)))


def _run_down(
    unet: Any, call: UnetCall, shifts: Iterator[Tensor], key_values: Iterator[KeyValue]
) -> tuple[Tensor, list[Tensor]]:
    """Return the planes of the middle and those for the way up; [P * B, ...] from the first cross-attention on."""
    count = call.num_prompts * len(call.sample)
    skips, x = run_encoder(unet, _run_in(unet, call), shifts, key_values, count)
    if call.residuals is not None:
        skips = [add_planes(skip, residual) for skip, residual in zip(skips, call.residuals[:-1], strict=True)]
        x = add_planes(x, call.residuals[-1])
    return x, skips


def _run_out(unet: Any, x: Tensor) -> Tensor:
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def add_planes(first: Tensor, second: Tensor) -> Tensor:
    """Add planes [B or P * B, C', h, w]; the fewer are repeated."""
    count = max(len(first), len(second))
    return repeat_to(first, count) + repeat_to(second, count)
